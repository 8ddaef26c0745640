"""Where partners tell how deliveries go on: a message, signed, in the format of their own."""

from flask import Response, request
from flask_smorest import Blueprint

from app.callbacks.formats import FORMATS
from app.callbacks.service import Received
from app.callbacks.signature import Signed
from web import representations, submissions
from web.description import callbacks as described
from web.services import Services

SCHEMAS = (Received, *(each.body for each in FORMATS.values()))


def blueprint(services: Services) -> Blueprint:
    """Bind the route to the services."""
    callbacks = Blueprint("callbacks", __name__, url_prefix="/v1/partners", description="Tell of deliveries.")

    @callbacks.route("/<partner:partner>/callbacks", methods=["POST"])
    @described.TELL
    def tell(partner: str) -> Response:
        message = Signed(
            id=request.headers.get("webhook-id"),
            timestamp=request.headers.get("webhook-timestamp"),
            signatures=request.headers.get("webhook-signature"),
            body=submissions.body(),
        )
        return representations.json(services.callbacks.take(partner, message))

    return callbacks
