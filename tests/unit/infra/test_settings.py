from pathlib import Path

import pytest

from infra import settings as settings_module
from infra.settings import Settings, SettingsRefused

SETTINGS_PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def test_defaults_need_no_variable():
    settings = Settings.load()

    assert settings.home == Path(".uoop").resolve()
    assert settings.providers == settings.home / "providers.json"
    assert not settings.database_url


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_a_postgres_url_names_the_driver(monkeypatch, scheme):
    monkeypatch.setenv("UOOP_DATABASE_URL", f"{scheme}://me:secret@db/orders")

    url = Settings.load().database_url

    assert url.get_secret_value() == "postgresql+psycopg2://me:secret@db/orders"


def test_each_redis_role_has_its_own_database(monkeypatch):
    monkeypatch.setenv("UOOP_REDIS_URL", "redis://:secret@cache:6379")
    monkeypatch.setenv("UOOP_LEDGER_URL", "rediss://ledger:6380/7")

    settings = Settings.load()

    assert settings.broker_url.get_secret_value() == "redis://:secret@cache:6379/0"
    assert settings.ledger_url.get_secret_value() == "rediss://ledger:6380/7"
    assert settings.events_url.get_secret_value() == "redis://:secret@cache:6379/4"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("UOOP_PROT", "80", "UOOP_PROT is not a setting: did you mean UOOP_PORT?"),
        ("UOOP_WEBHOOK_KEY", "short", "UOOP_WEBHOOK_KEY is wrong: a key has 32 characters or more"),
        ("UOOP_ZZZ", "80", "UOOP_ZZZ is not a setting: `uoop settings` lists all"),
        ("UOOP_PORT", "http", "UOOP_PORT is wrong: Input should be a valid integer"),
        ("UOOP_PORT", "65536", "UOOP_PORT is wrong: Input should be less than or equal to 65535"),
        ("UOOP_LOG_LEVEL", "loud", "UOOP_LOG_LEVEL is wrong: Input should be 'debug'"),
        ("UOOP_DATABASE_URL", "mysql://me:secret@db", "UOOP_DATABASE_URL is wrong: a Postgres URL begins"),
        ("UOOP_REDIS_URL", "secret", "UOOP_REDIS_URL is wrong: a Redis URL begins with"),
        ("UOOP_JWT_ISSUER", "me", "UOOP_JWT_ISSUER, UOOP_JWT_AUDIENCE and UOOP_JWT_JWKS are given together"),
        (
            "UOOP_JWT_JWKS",
            "http://me/keys",
            "UOOP_JWT_JWKS is wrong: the keys come from a file or an https://",
        ),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsRefused) as refused:
        Settings.load()

    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


def test_children_are_given_the_same_settings(monkeypatch, home):
    given = Settings.load().with_values(
        home=home,
        port=0,
        flower=False,
        redis_url="redis://:secret@cache",
        database_url="postgres://db/orders",
    )
    for name, value in given.environment().items():
        monkeypatch.setenv(name, value)

    assert Settings.load() == given


def test_values_given_win_over_the_environment(monkeypatch):
    monkeypatch.setenv("UOOP_PORT", "9000")

    assert Settings.load().with_values(port=9001).port == 9001


def test_passwords_are_not_shown(monkeypatch):
    monkeypatch.setenv("UOOP_REDIS_URL", "redis://:secret@cache")

    assert "secret" not in repr(Settings.load())


def test_the_page_of_settings_is_up_to_date():
    assert SETTINGS_PAGE.read_text().endswith("\n\n" + settings_module.table())


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"security": "scram", "username": "me"}, "UOOP_KAFKA_PASSWORD"),
        ({"security": "iam"}, "UOOP_KAFKA_REGION"),
    ],
)
def test_kafkas_security_needs_what_it_is_made_of(monkeypatch, given, missing):
    for name, value in given.items():
        monkeypatch.setenv(f"UOOP_KAFKA_{name.upper()}", value)

    with pytest.raises(SettingsRefused, match=missing):
        Settings.load()


def test_a_file_that_is_not_given_stays_so_in_a_child(monkeypatch):
    for name, value in Settings.load().environment().items():
        monkeypatch.setenv(name, value)

    assert Settings.load().kafka_ca_file is None
