"""The routes by which the API process is watched; they need no key."""

import msgspec
from flask import Response
from flask_smorest import Blueprint

from app import errors
from web import representations
from web.description import operations
from web.services import Services


class Health(msgspec.Struct, frozen=True):
    """The process answers."""

    status: str


class Readiness(msgspec.Struct, frozen=True):
    """Every dependency answers."""

    status: str
    dependencies: dict[str, bool | str]


SCHEMAS = (Health, Readiness)


class NotReady(errors.Unavailable):
    """The platform is not ready."""

    code = "not-ready"


def blueprint(services: Services) -> Blueprint:
    """Bind the routes to the services."""
    watching = Blueprint("health", __name__, description="Watch the API process.")

    @watching.route("/healthz", methods=["GET"])
    @operations.HEALTH
    def health() -> Response:
        return representations.json(Health("alive"))

    @watching.route("/readyz", methods=["GET"])
    @operations.READINESS
    def readiness() -> Response:
        dependencies = dict(services.readiness())
        if any(state is not True for state in dependencies.values()):
            raise NotReady(dependencies=dependencies)
        return representations.json(Readiness("ready", dependencies))

    @watching.route("/metrics", methods=["GET"])
    @operations.METRICS
    def metrics() -> Response:
        exposition, content_type = services.metrics()
        return Response(exposition, content_type=content_type)

    return watching
