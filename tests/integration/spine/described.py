"""The API's own description, for tests that walk it: a new route is asked too."""

import json
from collections.abc import Iterator
from typing import Any, cast

from web.description.__main__ import document

Operation = tuple[str, str, dict[str, Any]]


def description() -> dict[str, Any]:
    return cast(dict[str, Any], json.loads(document()))


def operations() -> Iterator[Operation]:
    """Every operation as (method, path, what is said of it), the path's own parameters among the others."""
    for path, item in description()["paths"].items():
        shared = item.get("parameters", [])
        for method in item.keys() - {"parameters"}:
            operation = item[method]
            yield (
                method.upper(),
                path,
                {**operation, "parameters": [*shared, *operation.get("parameters", [])]},
            )


def name(operation: Operation) -> str:
    return f"{operation[0]} {operation[1]}"
