"""Which workers of a home an operator lets rest: a file each, which the supervisor follows as long as it is there."""

from pathlib import Path

from infra import kept


def wanted(home: Path) -> frozenset[str]:
    """Names of the workers that shall rest."""
    try:
        return frozenset(path.name for path in _folder(home).iterdir())
    except FileNotFoundError:
        return frozenset()


def ask(home: Path, name: str) -> None:
    """Let it finish what it runs, end, and not be started again."""
    (kept.folder(_folder(home)) / name).touch()


def revoke(home: Path, name: str) -> None:
    """Let it be started again; harmless when it does not rest."""
    (_folder(home) / name).unlink(missing_ok=True)


def clear(home: Path) -> None:
    """A new start starts all."""
    for name in wanted(home):
        revoke(home, name)


def _folder(home: Path) -> Path:
    return home / "drained"
