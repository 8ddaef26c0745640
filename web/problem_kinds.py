"""
The whole catalogue of problems; each kind has a page at its `type`.

An error of the platform finds its kind by its code, else by its family.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from app import errors
from web import paths


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem. `advice`, what a client can do, is the detail where there is no better one."""

    code: str
    status: int
    title: str
    advice: str

    @property
    def type(self) -> str:
        return paths.PROBLEM.format(code=self.code)


KINDS: Mapping[str, Kind] = {
    kind.code: kind
    for kind in (
        Kind(
            "bad-request",
            400,
            "The request cannot be understood",
            "Correct the request before sending it again.",
        ),
        Kind("malformed-json", 400, "The body is not a JSON document", "Send one JSON document in UTF-8."),
        Kind(
            "idempotency-key-missing",
            400,
            "The Idempotency-Key header is missing",
            "Send a key of your own with each new order, and the same key again with each retry of it.",
        ),
        Kind(
            "idempotency-key-malformed",
            400,
            "The Idempotency-Key header is malformed",
            "A key is 1 to 255 visible ASCII characters, plain or as a quoted string.",
        ),
        Kind("invalid-query", 400, "A query parameter is not valid", "The errors name the parameters."),
        Kind("unauthenticated", 401, "The request carries no valid key", "Send Authorization: Bearer KEY."),
        Kind(
            "signature-refused",
            401,
            "The message is not signed as it should be",
            "Sign id, timestamp and body with a secret in use, as Standard Webhooks says.",
        ),
        Kind("missing-scope", 403, "The key does not allow this", "Use a key that has the scope."),
        Kind(
            "no-such-path", 404, "There is nothing at this address", "The paths are listed in /openapi.json."
        ),
        Kind("not-found", 404, "There is no such thing", "Check the identifier."),
        Kind(
            "order-not-found", 404, "There is no such order", "Check the tracking id and whose key you use."
        ),
        Kind(
            "method-not-allowed",
            405,
            "The path does not know this method",
            "The Allow header lists those it knows.",
        ),
        Kind(
            "conflict",
            409,
            "The request does not fit the present state",
            "Read the resource and decide anew.",
        ),
        Kind(
            "external-order-id-taken",
            409,
            "Another order has this external_order_id",
            "The link leads to the order that has it.",
        ),
        Kind(
            "request-in-flight",
            409,
            "A request with this key or external_order_id is still being processed",
            "Send the same order again, with the same key, a second later.",
        ),
        Kind(
            "precondition-failed",
            412,
            "The order is not as you have it",
            "Read it again, and decide by what you find.",
        ),
        Kind("body-too-large", 413, "The body is too large", "A body has 256 kB at most."),
        Kind(
            "address-too-long", 414, "The address is too long", "Path and query have 8 kB together at most."
        ),
        Kind(
            "fields-too-large",
            431,
            "The header is too large",
            "It has 64 fields and 32 kB at most; cookies mean nothing here.",
        ),
        Kind(
            "unsupported-media-type",
            415,
            "The body's media type is not supported",
            "Send application/json, uncompressed.",
        ),
        Kind("rejected", 422, "The request is refused", "Sending it again changes nothing."),
        Kind("invalid-order", 422, "The order document is not valid", "The errors point at what is wrong."),
        Kind(
            "idempotency-key-reused",
            422,
            "The idempotency key was used with another order",
            "A retry repeats the same order; a new order needs a new key.",
        ),
        Kind(
            "partner-not-found",
            404,
            "Nobody of that name sends callbacks",
            "Check the name that you were given.",
        ),
        Kind(
            "invalid-callback", 422, "The message is not in your format", "The errors point at what is wrong."
        ),
        Kind(
            "run-not-found",
            404,
            "There is no such run",
            "Check the run id or tracking id, and whose key you use.",
        ),
        Kind(
            "run-travelling",
            409,
            "The run is under way with a cohort, which alone moves it",
            "It waits again, ends or is parked within seconds: look again.",
        ),
        Kind("run-ended", 409, "The run has ended", "Nothing more can be done to it."),
        Kind("run-not-parked", 409, "The run is not parked", "Retry it, or wait until it is parked."),
        Kind(
            "run-being-undone",
            409,
            "The run is being undone",
            "What is undone cannot be done again by the same keys; its undoing can be retried.",
        ),
        Kind(
            "past-pivot",
            409,
            "The run only goes forward now",
            "Retry it, or skip the step that cannot be done.",
        ),
        Kind(
            "run-under-way",
            409,
            "What a run still does for the order comes first",
            "Come again after Retry-After seconds.",
        ),
        Kind(
            "not-captured",
            409,
            "Nothing has been taken of this order's money",
            "What was only authorized is set free when the order is cancelled.",
        ),
        Kind(
            "refund-exceeds",
            409,
            "More than is left of what was taken cannot be given back",
            "The detail says how much is left.",
        ),
        Kind(
            "invalid-amount",
            422,
            "The amount is not one of the order's currency",
            "The detail says what it may be.",
        ),
        Kind("step-not-here", 409, "The run does not stand at this step", "Its story tells where it stands."),
        Kind("step-needed", 409, "The step cannot be left out", "Retry the run, or undo it."),
        Kind(
            "step-built-upon",
            409,
            "A later step has been called with what this step had found",
            "Re-drive from that later step, or undo the run.",
        ),
        Kind(
            "move-not-allowed",
            409,
            "The order does not move there from where it is",
            "Orders move forward only; the detail says where it is.",
        ),
        Kind(
            "not-before-pickup",
            409,
            "The order is not between its confirmation and its pickup",
            "What is picked up is with its courier: speak to the partner.",
        ),
        Kind(
            "not-with-courier",
            409,
            "The order is not with this courier",
            "It may have another one by now, or a partner: its events tell.",
        ),
        Kind("invalid-act", 422, "The instruction is not valid", "The errors point at what is wrong."),
        Kind(
            "not-confirmed",
            422,
            "To terminate needs confirm=true",
            "All that was done elsewhere would stand.",
        ),
        Kind("unknown-step", 422, "The saga has no such step", "The detail lists its steps."),
        Kind(
            "difference-not-found",
            404,
            "There is no such difference",
            "Check its id, and whose key you use.",
        ),
        Kind(
            "difference-resolved",
            409,
            "The difference has been resolved, or has gone",
            "Read it: it says by whom and why.",
        ),
        Kind(
            "nothing-to-undo",
            409,
            "Nothing of this kind is undone by key",
            "Deal with it at the provider, then resolve it.",
        ),
        Kind("not-paused", 409, "It is not paused", "What is paused is listed in /v1/ops/pauses."),
        Kind("not-forced", 409, "Nobody holds this breaker", "What is held is listed in /v1/ops/channels."),
        Kind(
            "unknown-name",
            422,
            "There is nothing of that name",
            "The detail lists what there is.",
        ),
        Kind(
            "odd-windows",
            422,
            "A limit cannot be set for this time",
            "Give windows that are not past, at most two weeks of them.",
        ),
        Kind("not-limited", 404, "No such limit is set", "What is set is listed in /v1/ops/capacity/limits."),
        Kind("webhook-not-found", 404, "There is no such webhook", "Check its id and whose key you use."),
        Kind(
            "too-many-webhooks",
            409,
            "You have as many webhooks as you may have",
            "Delete one that is not needed.",
        ),
        Kind(
            "webhook-address-refused",
            422,
            "Webhooks do not go there",
            "Give an https address on the public internet.",
        ),
        Kind(
            "webhooks-busy",
            503,
            "Too many receivers are being asked at this moment",
            "Come again after Retry-After seconds.",
        ),
        Kind(
            "webhook-secret-unreadable",
            503,
            "The webhook's secret cannot be read",
            "Rotate it; the platform's key for such secrets has changed.",
        ),
        Kind("step-missing", 422, "The act needs the name of a step", "Give it as step."),
        Kind(
            "rate-limited",
            429,
            "Too many requests in too short a time",
            "Come again after Retry-After seconds; RateLimit tells what is left.",
        ),
        Kind(
            "internal-error",
            500,
            "The platform failed",
            "Nothing is known to be wrong with the request; tell us the trace id.",
        ),
        Kind(
            "unavailable",
            503,
            "A part of the platform does not answer",
            "Send the same request again, with the same key.",
        ),
        Kind(
            "overloaded",
            503,
            "More of your orders are waiting than can be served in time",
            "Come again after Retry-After seconds.",
        ),
        Kind("not-ready", 503, "The platform is not ready", "The dependencies say what is missing."),
    )
}

_FAMILIES: tuple[tuple[type[errors.UoopError], str], ...] = (
    (errors.Rejected, "rejected"),
    (errors.Conflict, "conflict"),
    (errors.NotFound, "not-found"),
    (errors.Unavailable, "unavailable"),
)


def kind_of(error: errors.UoopError) -> Kind:
    """Find the error's kind by its code, else by its family."""
    by_family = next((code for family, code in _FAMILIES if isinstance(error, family)), "internal-error")
    return KINDS.get(error.code, KINDS[by_family])
