"""A delivery partner whose calls are noted: for his breaker, and for how he does."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime

from app.providers.port import CALLS_TAKEN, Answer, Kind, Listing, Provider, Request, Verdict
from app.routing.breakers import Breakers
from app.routing.figures import Recorder

UNANSWERED = (Verdict.IN_DOUBT, Verdict.UNAVAILABLE)


class Guarded:
    """The same partner; who may be asked for what is decided before, here it is only noted what came of it."""

    def __init__(self, partner: Provider, breakers: Breakers, recorder: Recorder) -> None:
        self._partner, self._breakers, self._recorder = partner, breakers, recorder

    @property
    def name(self) -> str:
        return self._partner.name

    @property
    def kind(self) -> Kind:
        return self._partner.kind

    @property
    def bulk(self) -> bool:
        return self._partner.bulk

    @property
    def tombstones(self) -> bool:
        return self._partner.tombstones

    def do(self, resource: str, requests: Sequence[Request], *, timeout_s: float) -> list[Answer]:
        return self._noted(lambda: self._partner.do(resource, requests, timeout_s=timeout_s), dispatched=True)

    def undo(self, resource: str, keys: Sequence[str], *, timeout_s: float) -> list[Answer]:
        return self._noted(lambda: self._partner.undo(resource, keys, timeout_s=timeout_s))

    def find(self, resource: str, keys: Sequence[str], *, timeout_s: float) -> list[Answer]:
        return self._noted(lambda: self._partner.find(resource, keys, timeout_s=timeout_s))

    def listing(
        self,
        resource: str,
        *,
        since: datetime,
        until: datetime,
        cursor: str | None,
        limit: int,
        timeout_s: float,
    ) -> Listing:
        return self._partner.listing(
            resource, since=since, until=until, cursor=cursor, limit=limit, timeout_s=timeout_s
        )

    def _noted(self, call: Callable[[], list[Answer]], *, dispatched: bool = False) -> list[Answer]:
        began = time.monotonic()
        answers = call()
        took_s = time.monotonic() - began
        if not answers or all(answer.reason == CALLS_TAKEN for answer in answers):
            return answers
        failed = all(answer.verdict in UNANSWERED for answer in answers)
        if failed:
            # a dispatch that takes for ever may be one order's fault; a question does not depend on orders
            self._breakers.note_failure(self.name, waited_s=0.0 if dispatched else took_s)
        else:
            self._breakers.note_answer(self.name, dispatched=dispatched)
        taken = sum(answer.verdict is Verdict.DONE for answer in answers) if dispatched else 0
        refused = sum(answer.verdict is Verdict.REFUSED for answer in answers) if dispatched else 0
        self._recorder.add(self.name, failed=failed, took_s=took_s, taken=taken, refused=refused)
        return answers
