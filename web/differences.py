"""The operators' routes for differences with providers: see them, resolve them, have effects too many undone."""

import msgspec
from flask import Response
from flask_smorest import Blueprint

from app.settlement.views import ActedOn, DifferenceGroup, DifferenceStory, DifferenceView, Remedy
from web import authentication, cursors, instructions, queries, representations
from web.authentication import OPS
from web.description import differences as described
from web.instructions import ActOnDifference, DifferenceQuery
from web.services import Services


class DifferenceList(msgspec.Struct, frozen=True):
    """Part of a list, newest first. `next_cursor` fetches what follows; null at the end."""

    differences: list[DifferenceView]
    next_cursor: str | None


class DifferenceSummary(msgspec.Struct, frozen=True):
    """What is open, by provider, resource, kind and currency."""

    groups: list[DifferenceGroup]


SCHEMAS = (DifferenceList, DifferenceSummary, DifferenceStory, ActedOn)


def blueprint(services: Services) -> Blueprint:
    """Bind the routes to the services."""
    differences = Blueprint(
        "differences",
        __name__,
        url_prefix="/v1/ops/differences",
        description="Where our books and a provider's own list differ.",
    )

    @differences.route("", methods=["GET"])
    @described.SEARCH
    def search() -> Response:
        caller = authentication.caller(services, OPS)
        query = queries.read(DifferenceQuery)
        page = services.differences.page(caller.tenant_id, query.filter(), query.after(), query.limit)
        cursor = cursors.encode(page.next) if page.next is not None else None
        return representations.json(DifferenceList(page.differences, cursor))

    @differences.route("/summary", methods=["GET"])
    @described.SUMMARY
    def summary() -> Response:
        caller = authentication.caller(services, OPS)
        return representations.json(DifferenceSummary(services.differences.groups(caller.tenant_id)))

    @differences.route("/<tracking:difference_id>", methods=["GET"])
    @described.STORY
    def story(difference_id: str) -> Response:
        caller = authentication.caller(services, OPS)
        return representations.json(services.differences.story(caller.tenant_id, difference_id))

    @differences.route("/<tracking:difference_id>/resolve", methods=["POST"])
    @described.RESOLVE
    def resolve(difference_id: str) -> Response:
        return _act(services, difference_id, Remedy.RESOLVE)

    @differences.route("/<tracking:difference_id>/undo", methods=["POST"])
    @described.UNDO
    def undo(difference_id: str) -> Response:
        return _act(services, difference_id, Remedy.UNDO)

    return differences


def _act(services: Services, difference_id: str, act: Remedy) -> Response:
    caller = authentication.caller(services, OPS)
    wanted = instructions.read(ActOnDifference)
    who = instructions.who(caller, wanted.operator)
    return representations.json(
        services.differences.act(caller.tenant_id, difference_id, act, who=who, why=wanted.reason)
    )
