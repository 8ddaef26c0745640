"""Keys by the command line: made, listed, replaced, ended."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

Uoop = Callable[..., tuple[int, str]]


def listed(command: Uoop) -> dict[str, dict[str, Any]]:
    """The keys of the tenant acme by their prefixes."""
    return {
        key["prefix"]: key for key in json.loads(command("keys", "list", "--tenant", "acme", "--json")[1])
    }


def key(command: Uoop, *arguments: str) -> dict[str, str]:
    code, told = command("keys", *arguments, "--json")
    assert code == 0, told
    found: dict[str, str] = json.loads(told)
    return found


def hours_left(row: dict[str, Any]) -> float:
    left = datetime.fromisoformat(row["expires_at"]) - datetime.now(UTC)
    return left / timedelta(hours=1)


@pytest.fixture
def made(command: Uoop) -> dict[str, str]:
    assert command("tenants", "create", "acme")[0] == 0
    return key(
        command, "create", "--tenant", "acme", "--scope", "ops", "--label", "till 7", "--expires-in", "90d"
    )


def test_a_key_is_shown_once_and_ends_when_it_was_said(command: Uoop, made: dict[str, str]) -> None:
    told = command("keys", "list")[1]

    (row,) = listed(command).values()
    assert made["key"].startswith(f"uoop_{made['prefix']}_")
    assert made["prefix"] in told
    assert made["key"] not in told
    assert (row["scopes"], row["label"], round(hours_left(row))) == (["ops"], "till 7", 90 * 24)


def test_a_rotated_key_goes_on_for_the_overlap_beside_its_like(command: Uoop, made: dict[str, str]) -> None:
    successor = key(command, "rotate", made["prefix"], "--overlap", "6h")

    rows = listed(command)
    assert round(hours_left(rows[made["prefix"]])) == 6
    assert rows[successor["prefix"]]["scopes"] == ["ops"]
    assert rows[successor["prefix"]]["expires_at"] is None


def test_a_revoked_key_has_ended(command: Uoop, made: dict[str, str]) -> None:
    assert command("keys", "revoke", made["prefix"])[0] == 0

    assert listed(command)[made["prefix"]]["ended"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "--tenant", "nobody"), "nobody"),
        (("create", "--expires-in", "soon"), "is no time"),
        (("create", "--scope", "everything"), "everything"),
        (("revoke", "00000000"), "00000000"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(command: Uoop, arguments: tuple[str, ...], said: str) -> None:
    code, told = command("keys", *arguments)

    assert code == 2
    assert said in told
    assert told.count("\n") == 1
