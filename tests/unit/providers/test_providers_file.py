"""The providers file, and what is said when it cannot be used."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from app.providers import registry
from app.providers.port import Kind

NOWHERE = "postgresql+psycopg2://127.0.0.1:1/none"  # nothing is asked of it before a limited call
PAYMENT = {
    "name": "benefit",
    "kind": "payment",
    "url": "http://pay.example/v2",
    "bulk": True,
    "token": "hush",
}
DELIVERY = {
    "name": "swift",
    "kind": "delivery",
    "url": "https://swift.example",
    "bulk": False,
    "token": "hush",
    "base_fee": "0.700",
    "per_km": "0.100",
    "speed_m_per_min": 320,
}


def _written(folder: Path, *providers: object) -> Path:
    path = folder / "providers.json"
    path.write_text(json.dumps({"providers": providers}))
    return path


def test_every_declared_provider_is_there_in_order(tmp_path: Path) -> None:
    providers = registry.load(_written(tmp_path, PAYMENT, DELIVERY), engine=create_engine(NOWHERE))

    assert [provider.name for provider in providers] == ["benefit", "swift"]
    assert [provider.name for provider in providers.of_kind(Kind.DELIVERY)] == ["swift"]
    assert providers["benefit"].bulk
    assert not providers["swift"].bulk
    assert providers.configs["swift"].base_fee == Decimal("0.700")


def test_a_token_is_not_shown(tmp_path: Path) -> None:
    configs = registry.read(_written(tmp_path, PAYMENT))

    assert "hush" not in repr(configs)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "bank"}, "kind"),
        ({"url": "ftp://pay.example"}, "benefit needs an http or https url"),
        ({"url": "http://"}, "benefit needs an http or https url"),
        ({"url": "http://pay.example:99999/"}, "benefit needs an http or https url"),
        ({"url": "http://pay.example/\r\nX: y"}, "benefit needs an http or https url"),
        ({"token": "a b"}, "token"),
        ({"token": ""}, "token"),
        ({"name": "Bene Fit"}, "name"),
        ({"name": "own-fleet"}, "own-fleet is the name of a channel of our own"),
        ({"name": "pickup"}, "pickup is the name of a channel of our own"),
        ({"bulk": "yes"}, "bulk"),
        ({"base_fee": "-1"}, "benefit needs fees of zero or more"),
        ({"base_fee": "NaN"}, "benefit needs fees of zero or more"),
        ({"concurrency": 0}, "concurrency"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_declaration_is_refused_in_one_line(
    tmp_path: Path, change: dict[str, object], says: str
) -> None:
    path = _written(tmp_path, PAYMENT | change)

    with pytest.raises(registry.ProvidersFileError, match=says) as refusal:
        registry.read(path)

    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_name_declared_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(registry.ProvidersFileError, match="benefit is declared twice"):
        registry.read(_written(tmp_path, PAYMENT, PAYMENT))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(registry.ProvidersFileError, match="No such file"):
        registry.read(tmp_path / "absent.json")
