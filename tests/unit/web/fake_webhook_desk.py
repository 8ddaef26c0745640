"""Webhooks that note what was asked and tell what they were told to."""

from typing import Any

import msgspec

from app.webhooks.desk import Tested, WebhookWithSecret
from app.webhooks.model import DeliveryPage, Replayed, Webhook, WebhookDelivery
from web.description import webhooks as examples

WEBHOOK = msgspec.convert(examples.EXAMPLE, Webhook)
WITH_SECRET = msgspec.convert(examples.WITH_SECRET, WebhookWithSecret)
DELIVERY = msgspec.convert(examples.LISTED["deliveries"][0], WebhookDelivery)
ANSWERS = {
    "create": WITH_SECRET,
    "webhooks": [WEBHOOK],
    "webhook": WEBHOOK,
    "change": WEBHOOK,
    "delete": None,
    "rotate": WITH_SECRET,
    "enable": WEBHOOK,
    "disable": WEBHOOK,
    "test": msgspec.convert(examples.TESTED, Tested),
    "deliveries": DeliveryPage([DELIVERY], 7),
    "replay": Replayed(3, None),
}


class WebhookDesk:
    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.fails: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        def answer(*asked: Any, **named: Any) -> Any:
            self.asked.append((name, *asked, named))
            if self.fails:
                raise self.fails
            return ANSWERS[name]

        return answer
