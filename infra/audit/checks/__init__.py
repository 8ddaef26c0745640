"""All checks, in the order of the promises."""

from infra.audit.checks import acceptance, capacity, consumers, deliveries, effects, ends, events
from infra.audit.model import Check

CHECKS: tuple[Check, ...] = (
    *acceptance.CHECKS,
    *effects.CHECKS,
    *ends.CHECKS,
    *deliveries.CHECKS,
    *events.CHECKS,
    *consumers.CHECKS,
    *capacity.CHECKS,
)


def table() -> str:
    """The checks as a Markdown table, one line each."""
    lines = ["| promise | check | what holds |", "|---|---|---|"]
    lines += [f"| {check.promise} | `{check.name}` | {check.says} |" for check in CHECKS]
    return "\n".join(lines) + "\n"
