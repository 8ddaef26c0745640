"""How Kafka is reached, in librdkafka's words."""

from typing import Any

from app.outbox.kafka import Kafka, KafkaTopic
from infra.settings import Settings


def sink(settings: Settings) -> Kafka:
    """The topic as a sink."""
    connection = {"bootstrap.servers": settings.kafka_brokers, **security(settings)}
    return Kafka(KafkaTopic(topic=settings.kafka_topic, connection=connection))


def security(settings: Settings) -> dict[str, Any]:
    """Also what a consumer needs to reach the same brokers."""
    if settings.kafka_security == "plaintext":
        return {}
    tls: dict[str, Any] = {"security.protocol": "ssl"}
    if settings.kafka_ca_file:
        tls["ssl.ca.location"] = str(settings.kafka_ca_file)
    match settings.kafka_security:
        case "scram":
            return tls | {
                "security.protocol": "sasl_ssl",
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.username": settings.kafka_username,
                "sasl.password": settings.kafka_password.get_secret_value(),
            }
        case "iam":
            return tls | {
                "security.protocol": "sasl_ssl",
                "sasl.mechanism": "OAUTHBEARER",
                "oauth_cb": _Tokens(settings.kafka_region),
            }
    return tls


class _Tokens:
    """Short-lived tokens for MSK, signed with the process's AWS identity."""

    def __init__(self, region: str) -> None:
        self._region = region

    def __call__(self, _config: str) -> tuple[str, float]:
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # noqa: PLC0415 (half a second, for MSK only)

        token, expires_ms = MSKAuthTokenProvider.generate_auth_token(self._region)
        return token, expires_ms / 1000
