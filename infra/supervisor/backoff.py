"""How long to wait before a dead process is started again."""

FIRST_S = 0.2
MOST_S = 2.0
HEALTHY_S = 30.0


def deaths_in_a_row(deaths: int, lived_s: float) -> int:
    """The count after one more death: a process that lived long enough was healthy and begins anew."""
    return 1 if lived_s >= HEALTHY_S else deaths + 1


def delay_s(deaths: int) -> float:
    """Seconds before the next start after so many deaths in a row: 0.2, doubling up to 2."""
    return float(min(MOST_S, FIRST_S * 2 ** min(deaths - 1, 16)))
