"""The operators' routes: find runs, read one's story, change their course."""

import msgspec
from flask import Response
from flask_smorest import Blueprint

from app.runs.allowed import Act
from app.runs.views import Acted, ActedInBulk, ParkedGroup, RunStory, RunSummary, RunTrace
from web import authentication, cursors, instructions, queries, representations
from web.authentication import OPS
from web.description import runs as described
from web.instructions import ActOnRun, RunQuery
from web.services import Services


class RunList(msgspec.Struct, frozen=True):
    """Part of a list, newest first. `next_cursor` fetches what follows; null at the end."""

    runs: list[RunSummary]
    next_cursor: str | None


class Parked(msgspec.Struct, frozen=True):
    """What waits for a person, the largest group first."""

    groups: list[ParkedGroup]


SCHEMAS = (RunList, Parked, RunStory, RunTrace, Acted, ActedInBulk)


def blueprint(services: Services) -> Blueprint:
    """Bind the routes to the services."""
    runs = Blueprint("runs", __name__, url_prefix="/v1/ops/runs", description="See and steer every run.")

    @runs.route("", methods=["GET"])
    @described.SEARCH
    def search() -> Response:
        caller = authentication.caller(services, OPS)
        query = queries.read(RunQuery)
        page = services.runs.search(caller.tenant_id, query.filter(), query.after(), query.limit)
        cursor = cursors.encode(page.next) if page.next is not None else None
        return representations.json(RunList(page.runs, cursor))

    @runs.route("/parked", methods=["GET"])
    @described.PARKED
    def parked() -> Response:
        caller = authentication.caller(services, OPS)
        return representations.json(Parked(services.runs.parked(caller.tenant_id)))

    @runs.route("/bulk", methods=["POST"])
    @described.BULK
    def bulk() -> Response:
        caller = authentication.caller(services, OPS)
        wanted = instructions.read_bulk()
        told = services.runs.act_on_all(
            caller.tenant_id,
            wanted.filter.filter(),
            wanted.instruction(wanted.act, caller),
            limit=wanted.limit,
            rate_per_s=wanted.rate_per_s,
        )
        return representations.json(told)

    @runs.route("/<tracking:run_id>", methods=["GET"])
    @described.STORY
    def story(run_id: str) -> Response:
        caller = authentication.caller(services, OPS)
        return representations.json(services.runs.story(caller.tenant_id, run_id))

    @runs.route("/<tracking:run_id>/trace", methods=["GET"])
    @described.TRACE
    def trace(run_id: str) -> Response:
        caller = authentication.caller(services, OPS)
        return representations.json(services.runs.trace(caller.tenant_id, run_id))

    @runs.route("/<tracking:run_id>/<act:act>", methods=["POST"])
    @described.ACT
    def act(run_id: str, act: str) -> Response:
        caller = authentication.caller(services, OPS)
        wanted = instructions.read(ActOnRun).instruction(Act(act), caller)
        return representations.json(services.runs.act(caller.tenant_id, run_id, wanted))

    return runs
