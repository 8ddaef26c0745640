"""Differences as operators read them in the terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from app.settlement.views import DifferenceGroup

Document = Mapping[str, Any]
_UNLISTED = "no list: only what we know of was checked"


def plain(group: DifferenceGroup) -> dict[str, Any]:
    """For JSON."""
    return {
        **asdict(group),
        "first_seen": group.first_seen.isoformat(),
        "last_seen": group.last_seen.isoformat(),
    }


def reconciled(told: Document) -> RenderableType:
    """What was compared, and what is open."""
    checks = _table("provider", "resource", "listed", "looked for", "")
    for check in told["checks"]:
        trouble = f"not compared to the end: {check['trouble']}" if check["trouble"] else ""
        checks.add_row(
            check["provider"],
            check["resource"],
            str(check["theirs"]) if check["listed"] else "-",
            str(check["ours"]),
            trouble or ("" if check["listed"] else _UNLISTED),
        )
    span = Text(f"{_moment(told['since'])} to {_moment(told['until'])} UTC", style="bold")
    return Group(span, "", checks, "", summary(told["differences"]))


def summary(groups: Sequence[Document]) -> RenderableType:
    """What is open, counted."""
    if not groups:
        return Text("no open differences")
    table = _table("differences", "kind", "provider", "resource", "money", "first seen", "last seen")
    for group in groups:
        table.add_row(
            str(group["differences"]),
            group["kind"],
            group["provider"],
            group["resource"],
            _money(group),
            _moment(group["first_seen"]),
            _moment(group["last_seen"]),
        )
    return table


def differences(found: Sequence[Document]) -> RenderableType:
    """A list, a line each."""
    table = _table("id", "kind", "provider", "key", "ours", "theirs", "money", "")
    for column in table.columns[3:]:  # they are long: folded, so that the others stay whole
        column.no_wrap, column.overflow = False, "fold"
    for each in found:
        table.add_row(
            each["id"],
            each["kind"],
            each["provider"],
            each["key"],
            each["ours"],
            each["theirs"],
            _money(each),
            _state(each),
        )
    return table


def story(told: Document) -> RenderableType:
    """One difference, and what was done about it."""
    each = told["difference"]
    lines = [
        f"{each['kind']} at {each['provider']}, {each['resource']}: {each['key']}",
        f"order: {each['tracking_id'] or 'none of ours'}",
        f"ours: {each['ours']}",
        f"theirs: {each['theirs']}",
        f"money: {_money(each) or 'none'}",
        f"seen: {_moment(each['first_seen'])} to {_moment(each['last_seen'])}",
        f"state: {_state(each) or 'open'}",
    ]
    acts = _table("at", "act", "who", "why")
    for act in told["acts"]:
        acts.add_row(_moment(act["at"]), act["act"], act["who"], act["why"])
    parts: list[RenderableType] = [Text(line) for line in lines]
    if told["acts"]:
        parts += ["", acts]
    return Group(*parts)


def _state(each: Document) -> str:
    if each["resolved_at"]:
        return f"{each['resolved_by']}: {each['resolved_why']}"
    if each["undo_trouble"]:
        return f"not undone: {each['undo_trouble']}"
    return "being undone" if each["undo_asked_at"] else ""


def _money(each: Document) -> str:
    return "" if each["amount"] is None else f"{each['amount']} {each['currency'] or ''}".strip()


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _moment(at: str) -> str:
    return at[:19].replace("T", " ")
