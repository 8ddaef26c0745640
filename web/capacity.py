"""The operators' routes for capacity: what is taken, what may be taken, and what is forecast."""

import msgspec
from flask import Response
from flask_smorest import Blueprint

from app.capacity.desk import CapacityLimits, CapacityUsage
from app.forecasting import service as forecasting
from app.forecasting.service import Forecast
from web import authentication, instructions, queries, representations
from web.authentication import OPS
from web.description import capacity as described
from web.instructions import CapacityQuery, CapacitySpan, SetLimit
from web.services import Services

SVG = "image/svg+xml"


class LatestForecast(msgspec.Struct, frozen=True):
    """The forecast that was made last; null before the first one, which is made within an hour of the start."""

    forecast: Forecast | None


SCHEMAS = (CapacityUsage, CapacityLimits, LatestForecast)


def blueprint(services: Services) -> Blueprint:
    """Bind the routes to the services."""
    capacity = Blueprint("capacity", __name__, url_prefix="/v1/ops", description="How much can be taken.")

    @capacity.route("/capacity", methods=["GET"])
    @described.USAGE
    def usage() -> Response:
        caller = authentication.caller(services, OPS)
        query = queries.read(CapacityQuery)
        return representations.json(
            services.capacity.usage(
                caller.tenant_id,
                back_h=query.back_h,
                ahead_h=query.ahead_h,
                kind=query.kind,
                name=query.name,
                limit=query.limit,
            )
        )

    @capacity.route("/capacity/picture", methods=["GET"])
    @described.PICTURE
    def picture() -> Response:
        caller = authentication.caller(services, OPS)
        span = queries.read(CapacitySpan)
        drawn = services.capacity.picture(caller.tenant_id, back_h=span.back_h, ahead_h=span.ahead_h)
        return Response(drawn, mimetype=SVG)

    @capacity.route("/capacity/limits", methods=["GET"])
    @described.LIMITS
    def limits() -> Response:
        caller = authentication.caller(services, OPS)
        return representations.json(services.capacity.limits(caller.tenant_id))

    @capacity.route("/capacity/limits", methods=["POST"])
    @described.SET_LIMIT
    def set_limit() -> Response:
        caller = authentication.caller(services, OPS)
        wanted = instructions.read(SetLimit)
        who = instructions.who(caller, wanted.operator)
        return representations.json(
            services.capacity.put(caller.tenant_id, wanted.wanted(), who=who, why=wanted.reason)
        )

    @capacity.route("/forecast", methods=["GET"])
    @described.FORECAST
    def forecast() -> Response:
        caller = authentication.caller(services, OPS)
        return representations.json(LatestForecast(services.forecast(caller.tenant_id)))

    @capacity.route("/forecast/picture", methods=["GET"])
    @described.FORECAST_PICTURE
    def forecast_picture() -> Response:
        caller = authentication.caller(services, OPS)
        return Response(forecasting.picture(services.forecast(caller.tenant_id)), mimetype=SVG)

    return capacity
