"""Runs as operators read them in the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

Document = Mapping[str, Any]


def runs(found: Sequence[Document]) -> RenderableType:
    """A list of runs, a line each."""
    table = _table(
        "tracking id", "saga", "state", "step", "code", "try", "order", "customer", "partner", "updated"
    )
    for run in found:
        table.add_row(
            run["tracking_id"],
            run["saga"],
            _state(run),
            run["step"] or "",
            run["code"] or "",
            str(run["attempts"] or ""),
            run["order_status"],
            run["customer_id"],
            run["partner"] or "",
            _moment(run["updated_at"]),
        )
    return table


def parked(groups: Sequence[Document]) -> RenderableType:
    """What waits for a person."""
    table = _table("runs", "step", "code", "first seen", "last seen", "places", "money", "sample")
    for group in groups:
        money = ", ".join(_money(each) for each in group["money"])
        table.add_row(
            str(group["runs"]),
            group["step"] or "",
            group["code"] or "",
            _moment(group["first_seen"]),
            _moment(group["last_seen"]),
            str(group["holds"]),
            money,
            group["sample"],
        )
    return table


def paused(found: Sequence[Document]) -> RenderableType:
    """What is paused now."""
    table = _table("paused", "", "since", "until", "runs wait", "who", "why")
    for each in found:
        until = _moment(each["until"]) if each["until"] else "resumed"
        table.add_row(
            each["kind"],
            each["name"],
            _moment(each["since"]),
            until,
            str(each["runs"]),
            each["who"],
            each["why"],
        )
    return table


def pauses(told: Document) -> RenderableType:
    """What is paused, and who paused and resumed lately."""
    acts = _table("at", "act", "", "", "who", "why")
    for act in told["acts"]:
        acts.add_row(_moment(act["at"]), act["act"], act["kind"], act["name"], act["who"], act["why"])
    now = paused(told["pauses"]) if told["pauses"] else Text("nothing is paused")
    return Group(now, "", acts) if told["acts"] else now


def channels(told: Document) -> RenderableType:
    """Every partner's breaker and figures, what is weighed, and what was done by hand lately."""
    table = _table(
        "partner",
        "breaker",
        "until",
        "calls",
        "failed",
        "answer ms",
        "taken in 1 h",
        "on time",
        "held by",
        "why",
    )
    for each in told["partners"]:
        its = each["breaker"]
        until = its["forced_until"] or its["probe_at"]
        table.add_row(
            each["partner"],
            its["state"],
            _moment(until) if until else "",
            str(each["calls"]),
            str(each["failed"]),
            "" if each["mean_answer_ms"] is None else f"{each['mean_answer_ms']:.0f}",
            str(each["taken_in_hour"]),
            f"{each['on_time']} of {each['delivered']}",
            its["who"] or "",
            its["why"] or "",
        )
    acts = _table("at", "act", "", "who", "why")
    for act in told["acts"]:
        acts.add_row(_moment(act["at"]), act["act"], act["partner"], act["who"], act["why"])
    weighed = Text(f"weights: {_pairs(told['weights'])}")
    return Group(table, weighed, "", acts) if told["acts"] else Group(table, weighed)


def _routing(told: Document) -> Table:
    """The channels that an order could have had."""
    table = _table("channel", "score", "fee", "time", "health", "load", "eta min", "passed over")
    for each in told["candidates"]:
        terms = [each[name] for name in ("score", "fee", "time", "health", "load")]
        eta = "" if each["eta_s"] is None else f"{each['eta_s'] / 60:.0f}"
        table.add_row(
            each["channel"],
            *("" if term is None else f"{term:.3f}" for term in terms),
            eta,
            each["passed_over"] or "chosen",
        )
    return table


def story(told: Document) -> RenderableType:
    """Everything about one run."""
    run = told["run"]
    attempts = _table("at", "step", "cohort", "of", "epoch", "outcome", "provider")
    for each in told["attempts"]:
        undo = "undo " if each["direction"] == "backward" else ""
        attempts.add_row(
            _moment(each["started_at"]),
            undo + each["step"],
            each["cohort_id"],
            str(each["cohort_size"]),
            str(each["epoch"]),
            f"{each['verdict'] or 'running'} {each['code'] or ''}".strip(),
            each["provider"] or "",
        )
    acts = _table("at", "act", "who", "why")
    for act in told["acts"]:
        acts.add_row(_moment(act["at"]), f"{act['act']} {act['step'] or ''}".strip(), act["who"], act["why"])
    head = f"{run['tracking_id']}  run {run['run_id']}  {run['saga']} {run['version']}  {_state(run)}"
    tracebacks = [
        each["detail"]["traceback"]
        for each in told["attempts"]
        if isinstance(each["detail"], dict) and "traceback" in each["detail"]
    ]
    lines = [
        f"order {run['order_status']}, {run['total_amount']} {run['currency'] or ''}, customer {run['customer_id']}",
        f"failure: {_pairs(told['failure'] or {}) or 'none'}",
        f"may stand: {', '.join(told['may_stand']) or 'nothing'}",
        f"next: {_next(told['next'])}",
    ]
    parts: list[RenderableType] = [Text(head, style="bold"), *(Text(line) for line in lines), "", attempts]
    if told["routing"]:
        parts += ["", _routing(told["routing"])]
    if told["acts"]:
        parts += ["", acts]
    if tracebacks:
        parts += ["", Text(tracebacks[-1])]
    return Group(*parts)


def acted(told: Document) -> RenderableType:
    """One act: what has changed."""
    changed = [
        f"{name}: {before} -> {told['after'][name]}"
        for name, before in told["before"].items()
        if told["after"][name] != before
    ]
    would = "would " if told["dry_run"] else ""
    return Text(
        "\n".join([f"{would}{told['act']} {told['tracking_id']}", *(f"  {line}" for line in changed)])
    )


def acted_in_bulk(told: Document) -> RenderableType:
    """An act in bulk: how many, and why not the others."""
    would = "would be" if told["dry_run"] else "were"
    lines = [f"{told['act']}: {told['acted']} of {told['matched']} runs {would} touched"]
    lines += [
        f"  {each['runs']} not: {each['code']}: {each['why']} (as {each['sample']})"
        for each in told["refused"]
    ]
    if told["more"]:
        lines.append("  more runs fit: say it again for them")
    return Text("\n".join(lines))


def reports(found: Sequence[Document]) -> RenderableType:
    """What was reported of deliveries, a line each."""
    table = _table("report", "at", "tracking id", "what", "by", "fate", "reason")
    for each in found:
        table.add_row(
            each["report_id"],
            _moment(each["at"]),
            each["tracking_id"],
            each["what"],
            f"{each['reporter']} {each['by']}",
            each["fate"],
            each["reason"] or "",
        )
    return table


def parked_reports(groups: Sequence[Document]) -> RenderableType:
    """Reports that wait for a person."""
    table = _table("reports", "reason", "by", "sample")
    for group in groups:
        by = f"{group['reporter']} {group['by']}"
        table.add_row(str(group["reports"]), group["reason"], by, group["sample"])
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _state(run: Document) -> str:
    undoing = run["direction"] == "backward" and run["state"] != "ended"
    return f"{run['state']}{' undoing' if undoing else ''}"


def _money(each: Document) -> str:
    doubt = f" ({each['in_doubt']} in doubt)" if float(each["in_doubt"]) else ""
    owed = f" ({each['owed']} to be given back)" if float(each["owed"]) else ""
    return f"{each['held']} {each['currency'] or ''}{doubt}{owed}".strip()


def _next(told: Document) -> str:
    step = f": {told['step']}" if told["step"] else ""
    at = f", at {_moment(told['at'])}" if told["at"] else ""
    attempt = f", attempt {told['attempt']} of {told['attempts_at_most']}" if told["attempt"] else ""
    return f"{told['what']}{step}{at}{attempt}"


def _pairs(values: Document) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _moment(at: str) -> str:
    return at[:19].replace("T", " ")
