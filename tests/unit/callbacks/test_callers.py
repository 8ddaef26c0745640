"""Who may send callbacks, as the providers file says."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.callbacks import callers, signature
from app.callbacks.callers import CallbacksClosed, CallersFile
from app.deliveries.model import Reporter
from app.providers import registry
from app.providers.registry import ProvidersFileError

SECRET, NEXT = "whsec_" + "A" * 43 + "=", "whsec_" + "B" * 43 + "="
URL = "http://there.example"


def declared(folder: Path, *secrets: str, kind: str = "delivery", form: str = "uoop") -> Path:
    one: dict[str, Any] = {"name": "swift", "kind": kind, "url": URL, "bulk": True, "token": "hush"}
    one["callbacks"] = {"format": form, "secrets": list(secrets)}
    silent = {"name": "dhow", "kind": "delivery", "url": URL, "bulk": True, "token": "hush"}
    path = folder / "providers.json"
    path.write_text(json.dumps({"providers": [one, silent]}))
    return path


def test_secrets_stand_in_the_file_beside_it_or_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text(f"{NEXT}\n")
    monkeypatch.setenv("SWIFT_SECRET", SECRET)
    path = declared(tmp_path, SECRET, f"file:{tmp_path / 'secret'}", "env:SWIFT_SECRET")

    found = CallersFile(path)()

    keys = tuple(signature.key(each) for each in (SECRET, NEXT, SECRET))
    assert found.keys() == {"swift"}
    assert (found["swift"].reporter, found["swift"].keys) == (Reporter.PARTNER, keys)


@pytest.mark.parametrize(
    ("kind", "form", "secret", "says"),
    [
        ("payment", "uoop", SECRET, "swift is of kind payment"),
        (
            "delivery",
            "klingon",
            SECRET,
            "swift needs a format of callbacks: uoop, courier-status, kitchen-codes",
        ),
        ("delivery", "uoop", "whsec_tooshort", "none: a secret is whsec_"),
        ("delivery", "uoop", "file:/nowhere/at/all", "that is not there"),
        ("delivery", "uoop", "env:NO_SUCH_NAME", "that is not there"),
    ],
)
def test_a_wrong_declaration_is_told_without_its_secret(
    tmp_path: Path, kind: str, form: str, secret: str, says: str
) -> None:
    configs = registry.read(declared(tmp_path, secret, kind=kind, form=form))

    with pytest.raises(ProvidersFileError, match=says) as refusal:
        callers.callers(configs)

    assert secret not in str(refusal.value)


def test_no_secret_is_shown(tmp_path: Path) -> None:
    configs = registry.read(declared(tmp_path, SECRET))

    assert SECRET not in repr(configs[0].callbacks)
    assert "AAAA" not in repr(callers.callers(configs))


def test_a_new_secret_is_in_use_without_a_new_start_and_a_broken_file_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "READ_EVERY_S", -1.0)
    known = CallersFile(declared(tmp_path, SECRET))
    before = known()["swift"].keys

    declared(tmp_path, NEXT, SECRET)
    after = known()["swift"].keys
    (tmp_path / "providers.json").write_text("{")

    assert (len(before), len(after)) == (1, 2)
    assert known()["swift"].keys == after


def test_without_a_file_nobody_is_believed(tmp_path: Path) -> None:
    with pytest.raises(CallbacksClosed):
        CallersFile(tmp_path / "none.json")()
