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
        "One kind of error is not ours to tell: what is no good HTTP/1.1 is answered by the server before anything of",
        "ours is asked, without a body, without a word on who answers, and with the end of the connection. Its HTTP",
        "parser (hyper, below granian) writes these answers itself and has no hook for them, and granian no setting:",
        "",
        "| status | what was sent |",
        "|---|---|",
        "| 400 | a broken request line, version or field; a folded line; NUL or a bare carriage return in a field |",
        "| 400 | two lengths that differ, a list of them, or one that is no plain number |",
        "| 400 | a Transfer-Encoding that does not end in chunked; chunks of HTTP/1.0 |",
        "| 414 | an address of more than 64 kB; from 8 kB on it is an `address-too-long` |",
        "| 431 | more than 100 fields, or some hundred kB of them; from 64 fields or 32 kB on a `fields-too-large` |",
        "| none | CONNECT: the connection ends |",
        "",
        "What it lets through and two servers could read in two ways is a `bad-request`: an encoding beside chunked,",
        "chunked twice, two Hosts or none. Of Content-Length beside chunks it takes the length away before we see the",
        "request, heeds the chunks alone and ends the connection after the answer (RFC 9112, section 6.3), so nothing",
        "can be hidden behind. Of a body whose chunks are broken, what came before is judged as it is, and the",
        "connection ends. A gateway in front that speaks HTTP itself answers all of these in its own way.",
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
