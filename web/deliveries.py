"""The operators' routes about deliveries: what was reported, what needs a person, an order moved by hand."""

import msgspec
from flask import Response
from flask_smorest import Blueprint

from app.deliveries.queries import ReportGroup, ReportView
from app.orders.model import Status
from sagas.delivery_desk import Marked, Refused, Rerouted, Settled
from web import authentication, instructions, queries, representations
from web.authentication import OPS
from web.delivery_instructions import (
    Courier,
    Couriers,
    MarkOrder,
    RefuseOrder,
    ReportQuery,
    RerouteOrder,
    SettleReports,
)
from web.description import deliveries as described
from web.services import Services


class ReportList(msgspec.Struct, frozen=True):
    """Reports, newest first."""

    reports: list[ReportView]


class ParkedReports(msgspec.Struct, frozen=True):
    """What waits for a person, the largest group first."""

    groups: list[ReportGroup]


SCHEMAS = (ReportList, ParkedReports, Settled, Marked, Rerouted, Refused)


def blueprint(services: Services) -> Blueprint:
    """Bind the routes to the services."""
    deliveries = Blueprint(
        "deliveries", __name__, url_prefix="/v1/ops", description="See and steer deliveries under way."
    )
    desk = services.deliveries

    @deliveries.route("/reports", methods=["GET"])
    @described.REPORTS
    def reports() -> Response:
        caller = authentication.caller(services, OPS)
        query = queries.read(ReportQuery)
        fate = query.fate.kept if query.fate else None
        found = desk.reports(caller.tenant_id, fate=fate, order_id=query.tracking_id, limit=query.limit)
        return representations.json(ReportList(found))

    @deliveries.route("/reports/parked", methods=["GET"])
    @described.PARKED
    def parked() -> Response:
        caller = authentication.caller(services, OPS)
        return representations.json(ParkedReports(desk.parked(caller.tenant_id)))

    @deliveries.route("/reports/settle", methods=["POST"])
    @described.SETTLE
    def settle() -> Response:
        caller = authentication.caller(services, OPS)
        wanted = instructions.read(SettleReports)
        report_ids = [int(each) for each in wanted.report_ids]
        told = desk.settle(
            caller.tenant_id,
            report_ids,
            dismiss=wanted.act == "dismiss",
            who=wanted.who(caller),
            why=wanted.reason,
        )
        return representations.json(told)

    @deliveries.route("/orders/<tracking:order_id>/reports", methods=["POST"])
    @described.MARK
    def mark(order_id: str) -> Response:
        caller = authentication.caller(services, OPS)
        wanted = instructions.read(MarkOrder)
        told = desk.mark(
            caller.tenant_id, order_id, Status(wanted.status), who=wanted.who(caller), why=wanted.reason
        )
        return representations.json(told)

    @deliveries.route("/orders/<tracking:order_id>/reroute", methods=["POST"])
    @described.REROUTE
    def reroute(order_id: str) -> Response:
        caller = authentication.caller(services, OPS)
        wanted = instructions.read(RerouteOrder)
        told = desk.reroute(caller.tenant_id, order_id, who=wanted.who(caller), why=wanted.reason)
        return representations.json(told)

    @deliveries.route("/orders/<tracking:order_id>/refusals", methods=["POST"])
    @described.REFUSE
    def refuse(order_id: str) -> Response:
        caller = authentication.caller(services, OPS)
        wanted = instructions.read(RefuseOrder)
        told = desk.refuse(
            caller.tenant_id, order_id, wanted.courier, who=wanted.who(caller), why=wanted.reason
        )
        return representations.json(told)

    @deliveries.route("/couriers", methods=["GET"])
    @described.COURIERS
    def couriers() -> Response:
        caller = authentication.caller(services, OPS)
        return representations.json(Couriers([Courier.of(each) for each in desk.couriers(caller.tenant_id)]))

    @deliveries.route("/couriers", methods=["POST"])
    @described.REGISTER
    def register() -> Response:
        caller = authentication.caller(services, OPS)
        known = desk.register(caller.tenant_id, instructions.read(Couriers).entries())
        return representations.json(Couriers([Courier.of(each) for each in known]))

    return deliveries
