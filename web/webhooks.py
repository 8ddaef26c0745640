"""The routes of webhooks: where a tenant wants its events posted, and what came of it."""

import msgspec
from flask import Response
from flask_smorest import Blueprint

from app.webhooks.desk import Tested, WebhookWithSecret
from app.webhooks.model import Replayed, Webhook, WebhookDelivery
from web import authentication, cursors, instructions, paths, queries, representations
from web.authentication import EVENTS_READ, OPS
from web.description import webhooks as described
from web.services import Services
from web.webhook_instructions import (
    ChangeWebhook,
    NewWebhook,
    ReplayEvents,
    RotateSecret,
    WebhookDeliveryQuery,
)


class WebhookList(msgspec.Struct, frozen=True):
    """All of the tenant's, oldest first."""

    webhooks: list[Webhook]


class WebhookDeliveries(msgspec.Struct, frozen=True):
    """Part of a list, newest first. `next_cursor` fetches what follows; null at the end."""

    deliveries: list[WebhookDelivery]
    next_cursor: str | None


SCHEMAS = (
    Webhook,
    WebhookWithSecret,
    WebhookList,
    WebhookDeliveries,
    Tested,
    Replayed,
)


def blueprint(services: Services) -> Blueprint:
    """Bind the routes to the services."""
    webhooks = Blueprint(
        "webhooks", __name__, url_prefix="/v1/webhooks", description="Have events posted to you."
    )

    @webhooks.route("", methods=["POST"])
    @described.CREATE
    def create() -> Response:
        caller = authentication.caller(services, OPS)
        wanted = instructions.read(NewWebhook)
        made = services.webhooks.create(
            caller.tenant_id, url=wanted.url, types=wanted.types, description=wanted.description
        )
        answer = representations.json(made, status=201)
        answer.headers["Location"] = paths.WEBHOOK.format(webhook_id=made.id)
        return answer

    @webhooks.route("", methods=["GET"])
    @described.LIST
    def list_webhooks() -> Response:
        caller = authentication.caller(services, EVENTS_READ)
        return representations.json(WebhookList(services.webhooks.webhooks(caller.tenant_id)))

    @webhooks.route("/<tracking:webhook_id>", methods=["GET"])
    @described.WEBHOOK
    def webhook(webhook_id: str) -> Response:
        caller = authentication.caller(services, EVENTS_READ)
        return representations.json(services.webhooks.webhook(caller.tenant_id, webhook_id))

    @webhooks.route("/<tracking:webhook_id>", methods=["PATCH"])
    @described.CHANGE
    def change(webhook_id: str) -> Response:
        caller = authentication.caller(services, OPS)
        changes = instructions.read(ChangeWebhook).changes()
        return representations.json(services.webhooks.change(caller.tenant_id, webhook_id, changes))

    @webhooks.route("/<tracking:webhook_id>", methods=["DELETE"])
    @described.DELETE
    def delete(webhook_id: str) -> Response:
        caller = authentication.caller(services, OPS)
        services.webhooks.delete(caller.tenant_id, webhook_id)
        return Response(status=204)

    @webhooks.route("/<tracking:webhook_id>/rotate-secret", methods=["POST"])
    @described.ROTATE
    def rotate(webhook_id: str) -> Response:
        caller = authentication.caller(services, OPS)
        overlap_s = instructions.read(RotateSecret).overlap_s
        return representations.json(
            services.webhooks.rotate(caller.tenant_id, webhook_id, overlap_s=overlap_s)
        )

    @webhooks.route("/<tracking:webhook_id>/disable", methods=["POST"])
    @described.DISABLE
    def disable(webhook_id: str) -> Response:
        caller = authentication.caller(services, OPS)
        return representations.json(services.webhooks.disable(caller.tenant_id, webhook_id))

    @webhooks.route("/<tracking:webhook_id>/enable", methods=["POST"])
    @described.ENABLE
    def enable(webhook_id: str) -> Response:
        caller = authentication.caller(services, OPS)
        return representations.json(services.webhooks.enable(caller.tenant_id, webhook_id))

    @webhooks.route("/<tracking:webhook_id>/test", methods=["POST"])
    @described.TEST
    def test(webhook_id: str) -> Response:
        caller = authentication.caller(services, OPS)
        return representations.json(services.webhooks.test(caller.tenant_id, webhook_id))

    @webhooks.route("/<tracking:webhook_id>/deliveries", methods=["GET"])
    @described.DELIVERIES
    def deliveries(webhook_id: str) -> Response:
        caller = authentication.caller(services, EVENTS_READ)
        query = queries.read(WebhookDeliveryQuery)
        page = services.webhooks.deliveries(
            caller.tenant_id,
            webhook_id,
            failed=query.failed,
            order_id=query.order_id,
            after=query.after(),
            limit=query.limit,
        )
        cursor = cursors.encode(page.next) if page.next is not None else None
        return representations.json(WebhookDeliveries(page.deliveries, cursor))

    @webhooks.route("/<tracking:webhook_id>/replay", methods=["POST"])
    @described.REPLAY
    def replay(webhook_id: str) -> Response:
        caller = authentication.caller(services, OPS)
        wanted = instructions.read(ReplayEvents).replay()
        return representations.json(
            services.webhooks.replay(caller.tenant_id, webhook_id, wanted), status=202
        )

    return webhooks
