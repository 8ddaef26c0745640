"""The routes of channels: how partners do, holding their breakers, and what a tenant weighs."""

from flask import Response
from flask_smorest import Blueprint

from sagas.channel_desk import Channels
from web import authentication, instructions, representations
from web.authentication import ADMIN, OPS
from web.description import channels as described
from web.instructions import ForceBreaker, ReleaseBreaker, Weigh
from web.services import Services

SCHEMAS = (Channels,)


def blueprint(services: Services) -> Blueprint:
    """Bind the routes to the services."""
    channels = Blueprint("channels", __name__, url_prefix="/v1/ops/channels", description="Who delivers.")

    @channels.route("", methods=["GET"])
    @described.CHANNELS
    def shown() -> Response:
        caller = authentication.caller(services, OPS)
        return representations.json(services.channels.channels(caller.tenant_id))

    @channels.route("/weights", methods=["POST"])
    @described.WEIGH
    def weigh() -> Response:
        caller = authentication.caller(services, OPS)
        wanted = instructions.read(Weigh)
        who = instructions.who(caller, wanted.operator)
        told = services.channels.weigh(caller.tenant_id, wanted.weights, who=who, why=wanted.reason)
        return representations.json(told)

    @channels.route("/<tracking:partner>/force", methods=["POST"])
    @described.FORCE
    def force(partner: str) -> Response:
        caller = authentication.caller(services, ADMIN)
        wanted = instructions.read(ForceBreaker).switch(partner, caller)
        return representations.json(services.channels.force(wanted))

    @channels.route("/<tracking:partner>/release", methods=["POST"])
    @described.RELEASE
    def release(partner: str) -> Response:
        caller = authentication.caller(services, ADMIN)
        wanted = instructions.read(ReleaseBreaker).switch(partner, caller)
        return representations.json(services.channels.release(wanted))

    return channels
