"""Lists of things as operators read them in the terminal: a column for each of their members."""

import json
import sys
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from infra.cli.orders import UNBOUNDED_WIDTH


def show(found: Sequence[object], *, as_json: bool, columns: Sequence[str] = ()) -> None:
    """
    Print dataclasses or structs of one kind, as a table or for programs.

    :param columns: the members that the table shows, if not all
    """
    rows = [msgspec.to_builtins(each) for each in found]
    if as_json:
        print(json.dumps(rows))
        return
    shown = columns or (rows[0] if rows else ())
    table = Table(*shown, box=None)
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in shown))
    Console(width=None if sys.stdout.isatty() else UNBOUNDED_WIDTH).print(table, markup=False)


def _cell(value: object) -> str:
    return " ".join(value) if isinstance(value, list) else "" if value is None else str(value)
