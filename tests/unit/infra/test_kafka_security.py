"""How Kafka is reached, by the settings."""

import pytest

from infra import kafka
from infra.settings import Settings


def connection(monkeypatch: pytest.MonkeyPatch, **settings: str) -> dict[str, object]:
    for name, value in settings.items():
        monkeypatch.setenv(f"UOOP_KAFKA_{name.upper()}", value)
    return kafka.security(Settings.load())


def test_nothing_is_needed_without_security(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connection(monkeypatch) == {}


def test_tls_trusts_the_given_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    made = connection(monkeypatch, security="tls", ca_file="/ca.pem")

    assert made == {"security.protocol": "ssl", "ssl.ca.location": "/ca.pem"}


def test_a_password_goes_over_tls_only(monkeypatch: pytest.MonkeyPatch) -> None:
    made = connection(monkeypatch, security="scram", username="me", password="secret")

    assert made["security.protocol"] == "sasl_ssl"
    assert (made["sasl.username"], made["sasl.password"]) == ("me", "secret")


def test_msk_is_given_a_signed_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    made = connection(monkeypatch, security="iam", region="me-south-1")
    token, expires_at = made["oauth_cb"]("")  # type: ignore[operator]

    assert made["sasl.mechanism"] == "OAUTHBEARER"
    assert len(token) > 100
    assert expires_at > 1_700_000_000
