"""What the description says of the operators' routes for differences."""

from flask_smorest import Blueprint

from web.description import difference_examples as examples
from web.description.operations import READING, answer, problems_of, query_parameters
from web.description.runs import SECURITY, WRITING, body
from web.instructions import DifferenceQuery

SEARCH = Blueprint.doc(
    operationId="searchDifferences",
    summary="Find differences with providers",
    description="Newest first, the open ones unless told otherwise, with a key of scope ops. All given filters "
    "must hold. What belongs to no order is the default tenant's.",
    security=SECURITY,
    parameters=query_parameters(DifferenceQuery),
    responses={
        "200": answer("Part of the list.", "DifferenceList", examples.LIST, []),
        **problems_of("invalid-query", *READING),
    },
)
SUMMARY = Blueprint.doc(
    operationId="countDifferences",
    summary="What is open",
    description="Open differences by provider, resource, kind and currency, with the money at stake.",
    security=SECURITY,
    responses={
        "200": answer("The groups.", "DifferenceSummary", examples.SUMMARY, []),
        **problems_of(*READING),
    },
)
STORY = Blueprint.doc(
    operationId="getDifference",
    summary="Read a difference and what was done about it",
    description="By its id: what stands here and at the provider, and the acts of operators.",
    security=SECURITY,
    responses={
        "200": answer("The difference.", "DifferenceStory", examples.STORY, []),
        **problems_of("difference-not-found", "no-such-path", *READING),
    },
)
RESOLVE = Blueprint.doc(
    operationId="resolveDifference",
    summary="Say that a difference has been dealt with",
    description="It stays so, also when it is found again. Kept with who did it and why.",
    security=SECURITY,
    requestBody=body("ActOnDifference", examples.REASON),
    responses={
        "200": answer("How it stood and how it stands.", "ActedOn", examples.ACTED, []),
        **problems_of("difference-not-found", "difference-resolved", "no-such-path", *WRITING),
    },
)
UNDO = Blueprint.doc(
    operationId="undoDifference",
    summary="Have an effect too many undone",
    description="""\
For a dispatch, placement or authorization that stands at the provider though the order does not want it. It is
taken back by its key within seconds; the difference is resolved when the provider has said yes, else `undo_trouble`
says why not. What our books want by then is left standing. Captured money is never taken back this way.""",
    security=SECURITY,
    requestBody=body("ActOnDifference", examples.REASON),
    responses={
        "200": answer("How it stood and how it stands.", "ActedOn", examples.UNDOING, []),
        **problems_of(
            "difference-not-found", "difference-resolved", "nothing-to-undo", "no-such-path", *WRITING
        ),
    },
)
