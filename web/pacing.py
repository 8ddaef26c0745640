"""When to ask again: seldom of what takes long, and not all clients at once."""

import random
import time

LONGEST_S = 30
_SPREAD = 0.25  # to both sides


def retry_after_s(age_s: float, chance: float) -> int:
    """
    Seconds until it is worth asking again: half of what the order has taken so far, 1 to about 37.

    :param chance: 0 to 1, moves the answer by up to a quarter to either side
    """
    wait_s = min(max(1.0, age_s / 2), LONGEST_S)
    return max(1, round(wait_s * (1 - _SPREAD + 2 * _SPREAD * chance)))


def retry_after(accepted_at: float) -> tuple[str, str]:
    """
    The header field for an order under way.

    :param accepted_at: seconds since 1970
    """
    return "Retry-After", str(retry_after_s(time.time() - accepted_at, random.random()))  # noqa: S311 (no secret)
