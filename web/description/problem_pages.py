"""
The pages of docs/problems, one for each kind of problem, written from the catalogue.

    python -m web.description.problem_pages docs/problems
"""

import sys
from pathlib import Path

from web.problem_kinds import KINDS, Kind


def pages() -> dict[str, str]:
    """The pages by their file names."""
    return {"README.md": _index(), **{f"{code}.md": _page(kind) for code, kind in KINDS.items()}}


def _index() -> str:
    lines = [
        "# Problems",
        "",
        "Every error that the API tells is a problem document (RFC 9457) with a stable `type`, a `code`, and a",
        "`trace_id` that stands in our log as well. The type is an address of the API, where the same is told.",
        "",
        "| code | status | title |",
        "|---|---|---|",
        *(f"| [{kind.code}]({kind.code}.md) | {kind.status} | {kind.title} |" for kind in _sorted()),
        "",
        "What is no good HTTP/1.1, or could be read in two ways by two servers in a row, is a",
        "[bad-request](bad-request.md) too, told after the answers to what came before on the same connection, which",
        "then ends:",
        "",
        "- a broken request line, version or field, an unknown method; a folded line, a space before a colon; NUL, a",
        "  bare carriage return or a bare line feed",
        "- two lengths, alike or not, a list of them, or one that is no plain number; a length beside chunks",
        "- a Transfer-Encoding that is not chunked alone, once; chunks of HTTP/1.0; a chunk whose size is no plain",
        "  hexadecimal number or not its own. Of a body that does not come to its end nothing is accepted",
        "- two Hosts or none; CONNECT; an address that is not ASCII",
        "",
        "Another protocol is never spoken: its offer (`Upgrade`) is passed over. A gateway in front that speaks HTTP",
        "itself answers all of these in its own way.",
    ]
    return "\n".join(lines) + "\n"


def _page(kind: Kind) -> str:
    table = f"| | |\n|---|---|\n| type | `{kind.type}` |\n| status | {kind.status} |"
    return f"# {kind.title}\n\n{table}\n\n{kind.advice}\n"


def _sorted() -> list[Kind]:
    return sorted(KINDS.values(), key=lambda kind: (kind.status, kind.code))


def main() -> None:
    """Write the pages into the folder named, and take away those of kinds that are no more."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for stale in {path.name for path in folder.iterdir()} - pages().keys():
        (folder / stale).unlink()
    for name, page in pages().items():
        (folder / name).write_text(page)


if __name__ == "__main__":
    main()
