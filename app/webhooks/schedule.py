"""When to try again, when to leave a receiver in peace, and what a row of answers says of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.webhooks.post import Reply

# Source: the Standard Webhooks specification, "Deliverability and reliability"; together 75.6 hours.
WAITS_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
TRIES = len(WAITS_S) + 1
JITTER = 0.1

BREAKS_AT = 5
"""Failures in a row after which a receiver is only probed."""
PROBE_EVERY_S = 60.0
DISABLED_AFTER_S = 3 * 86_400.0
"""Without anything taken; shorter than all tries of one event take."""
GONE = 410


def wait_s(tries: int, *, asked_s: float | None, chance: float) -> float | None:
    """
    How long to wait after so many tries; None if that was the last.

    :param asked_s: the receiver's Retry-After
    :param chance: 0 to 1, spreads what failed together
    """
    if tries >= TRIES:
        return None
    return max(WAITS_S[tries - 1] * (1 + JITTER * chance), asked_s or 0.0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What the answers of one receiver, in the order in which they came, say of it.

    :param recovered: something was taken, so that earlier failures count no more
    :param failures: in a row, up to the last
    :param quiet_s: what it asked for with the last
    :param gone: it does not want to be called any more
    """

    recovered: bool
    failures: int
    quiet_s: float
    gone: bool


def verdict(replies: Sequence[Reply]) -> Verdict:
    """Fold the answers of one receiver."""
    since = next((n for n, reply in enumerate(reversed(replies)) if reply.taken), None)
    return Verdict(
        recovered=since is not None,
        failures=len(replies) if since is None else since,
        quiet_s=0.0 if replies[-1].taken else replies[-1].retry_after_s or 0.0,
        gone=any(reply.status == GONE for reply in replies),
    )
