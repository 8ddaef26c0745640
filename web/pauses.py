"""The switchboard's routes: see what is paused, pause and resume. A pause holds for all tenants."""

from flask import Response
from flask_smorest import Blueprint

from app.runs.pauses import Kind
from sagas.pause_desk import Paused
from web import authentication, instructions, representations
from web.authentication import ADMIN, OPS
from web.description import pauses as described
from web.instructions import SwitchPause
from web.services import Services

SCHEMAS = (Paused,)


def blueprint(services: Services) -> Blueprint:
    """Bind the routes to the services."""
    pauses = Blueprint(
        "pauses", __name__, url_prefix="/v1/ops/pauses", description="Hold back, and let go on."
    )

    @pauses.route("", methods=["GET"])
    @described.PAUSED
    def paused() -> Response:
        caller = authentication.caller(services, OPS)
        return representations.json(services.pauses.paused(caller.tenant_id))

    @pauses.route("/<kind:kind>/<tracking:name>/pause", methods=["POST"])
    @described.PAUSE
    def pause(kind: str, name: str) -> Response:
        caller = authentication.caller(services, ADMIN)
        wanted = instructions.read(SwitchPause).switch(Kind(kind), name, caller)
        return representations.json(services.pauses.pause(wanted))

    @pauses.route("/<kind:kind>/<tracking:name>/resume", methods=["POST"])
    @described.RESUME
    def resume(kind: str, name: str) -> Response:
        caller = authentication.caller(services, ADMIN)
        wanted = instructions.read(SwitchPause).switch(Kind(kind), name, caller)
        return representations.json(services.pauses.resume(wanted))

    return pauses
