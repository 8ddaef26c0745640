"""What the description says of the operators' routes."""

from typing import Any

from flask_smorest import Blueprint

from web.description import run_examples as examples
from web.description.operations import READING, REF, answer, problems_of, query_parameters
from web.instructions import RunQuery

SECURITY: list[dict[str, list[str]]] = [{"ApiKey": []}]
WRITING = ("malformed-json", "invalid-act", "body-too-large", "unsupported-media-type", *READING)


def body(schema: str, example: object) -> dict[str, Any]:
    """Describe what is sent."""
    content = {"application/json": {"schema": {"$ref": REF.format(name=schema)}, "example": example}}
    return {"required": True, "content": content}


SEARCH = Blueprint.doc(
    operationId="searchRuns",
    summary="Find runs",
    description="Newest first, with a key of scope ops. All given filters must hold.",
    security=SECURITY,
    parameters=query_parameters(RunQuery),
    responses={
        "200": answer("Part of the list.", "RunList", examples.LIST, []),
        **problems_of("invalid-query", *READING),
    },
)
PARKED = Blueprint.doc(
    operationId="getParked",
    summary="What waits for a person",
    description="Parked runs by step and reason, with the money and the kitchens' places that they keep.",
    security=SECURITY,
    responses={"200": answer("The groups.", "Parked", examples.PARKED, []), **problems_of(*READING)},
)
STORY = Blueprint.doc(
    operationId="getRun",
    summary="Read a run's whole story",
    description="By its id or its order's tracking id: attempts, outcomes, acts of operators, and what happens next.",
    security=SECURITY,
    responses={
        "200": answer("The story.", "RunStory", examples.STORY, []),
        **problems_of("run-not-found", "no-such-path", *READING),
    },
)
TRACE = Blueprint.doc(
    operationId="getTrace",
    summary="Read a run as a line of time",
    description="Every attempt, every undoing, every wait between them with its lane and reason; what happens next.",
    security=SECURITY,
    responses={
        "200": answer("The line.", "RunTrace", examples.TRACE, []),
        **problems_of("run-not-found", "no-such-path", *READING),
    },
)
ACT = Blueprint.doc(
    operationId="actOnRun",
    summary="Change a run's course",
    description="""\
retry: a waiting run is due now, a parked one goes on where it stopped.
skip: the step where it stands counts as done.
redrive: a parked run goes on from an earlier step, by the same keys.
compensate: all that it may have done is undone and the order fails.
cancel: the same as the client's wish; of a run under way a flag that is heeded before the pivot. An order that \
was promised gets a run of its own, which asks its delivery partner to give it back; by tracking id always the order \
is meant, by run id that run.
terminate: it ends as it is, and what it did elsewhere stands; needs confirm.

Every act is kept with who did it and why. A dry run says what would happen.""",
    security=SECURITY,
    requestBody=body("ActOnRun", examples.REASON),
    responses={
        "200": answer("How it stood and how it stands.", "Acted", examples.ACTED, []),
        **problems_of(
            "run-not-found",
            "no-such-path",
            "run-travelling",
            "run-ended",
            "run-not-parked",
            "run-being-undone",
            "run-under-way",
            "past-pivot",
            "step-not-here",
            "step-needed",
            "step-built-upon",
            "not-confirmed",
            "unknown-step",
            "step-missing",
            *WRITING,
        ),
    },
)
BULK = Blueprint.doc(
    operationId="actOnRuns",
    summary="Change the course of many runs",
    description="Oldest first; runs that may not be touched stay as they are, and the answer says why. "
    "With rate_per_s they become due one after the other.",
    security=SECURITY,
    requestBody=body("ActOnRuns", examples.IN_BULK),
    responses={
        "200": answer(
            "How many were touched, and why others not.", "ActedInBulk", examples.ACTED_IN_BULK, []
        ),
        **problems_of("not-confirmed", "step-missing", *WRITING),
    },
)
