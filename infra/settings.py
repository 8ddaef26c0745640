"""
The settings: read once from ``UOOP_*`` variables, then frozen.

An empty database or Redis URL means the embedded one; ``infra.stack`` fills it in before anything connects.
"""

import difflib
import os
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app import errors

PREFIX = "UOOP_"
SHORTEST_KEY = 32
REDIS_ROLES = ("broker", "results", "ledger", "cache", "events")  # the position is the role's database number


class SettingsRefused(errors.Rejected):
    """A setting is wrong."""

    code = "settings-refused"

    def __str__(self) -> str:
        return "; ".join(str(problem) for problem in self.data.values())


class Settings(BaseSettings):
    """
    What can be set, with its meaning; docs/settings.md is generated from here.

    Durations carry their unit in the name. Ports of 0 mean a free one, which ``uoop ps`` shows.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True)

    home: Path = Field(
        default=Path(".uoop"), description="Folder of all data, logs, keys and embedded servers"
    )
    host: str = Field(default="127.0.0.1", description="Address that the API listens on")
    port: int = Field(default=8080, ge=0, le=65535, description="Port of the API")
    only: str = Field(
        default="",
        description="Processes of this host, as `uoop ps` names them, or `workers`, by commas; with external Postgres "
        "and Redis; empty: all",
    )

    database_url: SecretStr = Field(
        default=SecretStr(""),
        description="Postgres, `postgresql://user:password@host/name`; empty: the embedded one",
    )
    redis_url: SecretStr = Field(
        default=SecretStr(""), description="Redis, `redis://:password@host:6379`; empty: the embedded one"
    )
    broker_url: SecretStr = Field(
        default=SecretStr(""), description="Redis of Celery's messages; empty: UOOP_REDIS_URL, database 0"
    )
    results_url: SecretStr = Field(
        default=SecretStr(""), description="Redis of Celery's results; empty: UOOP_REDIS_URL, database 1"
    )
    ledger_url: SecretStr = Field(
        default=SecretStr(""), description="Redis of capacity holds; empty: UOOP_REDIS_URL, database 2"
    )
    cache_url: SecretStr = Field(
        default=SecretStr(""),
        description="Redis of what is kept for moments: rings, rates, status; empty: UOOP_REDIS_URL, database 3",
    )
    events_url: SecretStr = Field(
        default=SecretStr(""), description="Redis of the event stream; empty: UOOP_REDIS_URL, database 4"
    )
    kafka_brokers: str = Field(
        default="", description="Kafka brokers, `host:port,host:port`; empty: events do not go to Kafka"
    )
    kafka_topic: str = Field(default="uoop.orders", min_length=1, description="Topic of the events in Kafka")
    kafka_security: Literal["plaintext", "tls", "scram", "iam"] = Field(
        default="plaintext",
        description="How Kafka is reached; `scram` (a name and a password) and `iam` (MSK) over TLS",
    )
    kafka_username: str = Field(default="", description="Name for SCRAM")
    kafka_password: SecretStr = Field(default=SecretStr(""), description="Password for SCRAM")
    kafka_ca_file: Path | None = Field(
        default=None, description="Certificates that Kafka's must come from; empty: the system's"
    )
    kafka_region: str = Field(default="", description="AWS region of MSK, for `iam`")
    webhook_key: SecretStr = Field(
        default=SecretStr(""),
        description="What seals the secrets of webhooks in the database: 32 random characters or more; several, by "
        "commas: the first seals, all open; empty: made once and kept in UOOP_HOME. The same on all hosts",
    )
    webhook_allowed: str = Field(
        default="",
        description="Receivers for development, `host:port,host:port`: they may be inside and without TLS",
    )
    webhook_concurrency: int = Field(
        default=10, ge=1, le=100, description="Events that one receiver is sent at the same time, at most"
    )
    webhook_timeout_s: float = Field(
        default=15, ge=1, le=20, description="Time that a receiver may take for its answer"
    )
    providers: Path = Field(
        default=Path("providers.json"),
        description="File naming the providers; by default in UOOP_HOME and written for the sandbox",
    )

    api_workers: int = Field(default=1, ge=1, description="Processes of the API")
    hot_lane: bool = Field(
        default=True,
        description="Whether orders are accepted without a thread per request, in front of Flask",
    )
    api_threads: int = Field(default=32, ge=1, description="Threads of each API process")
    waiting_clients: int = Field(
        default=1500,
        ge=0,
        description="Clients that may wait at each API process for an order to change, none without the hot lane",
    )
    step_processes: int = Field(default=2, ge=1, description="Processes that run saga steps")
    partner_processes: int = Field(default=2, ge=1, description="Processes that call providers")
    patient_processes: int = Field(
        default=2, ge=1, description="Processes that wait for providers who were silent before"
    )
    optimizer_processes: int = Field(default=1, ge=1, description="Processes that plan")
    webhook_processes: int = Field(
        default=2,
        ge=1,
        description="Processes that post to webhooks: one looks for work, others wait for answers",
    )
    control_processes: int = Field(default=2, ge=1, description="Processes that claim and sweep")

    child_memory_mb: int = Field(
        default=1024,
        ge=256,
        description="Memory that one process of a worker may take, so that an order cannot eat all",
    )

    front_slots: int = Field(default=3, ge=1, description="Cohorts in flight in the front lane")
    cohort_size: int = Field(default=1500, ge=1, le=10_000, description="Most orders that travel together")
    spread_from: int = Field(
        default=200,
        ge=1,
        description="Orders in a cohort whose steps go to the pools made for them; one process takes fewer all the way",
    )
    lane_interval_ms: int = Field(
        default=200,
        ge=0,
        description="Least time between two cohorts of one lane, "
        "1.75 times it after one of 400 orders that left none behind",
    )
    slot_capacity: int = Field(
        default=1000, ge=0, description="Orders per quarter of an hour in a restaurant that nobody told of"
    )
    shed_above_ms: int = Field(
        default=700,
        ge=1,
        description="Time that a tenant's new order may wait for a cohort; where it is more, it is refused",
    )
    order_deadline_s: int = Field(default=900, ge=1, description="Time in which an order ends or is parked")
    settle_hour: int = Field(
        default=1,
        ge=0,
        le=23,
        description="Hour of the day, in UTC, from which yesterday is compared with the providers' lists",
    )
    drain_s: float = Field(
        default=15, ge=1, description="Time that a stop may take before processes are killed"
    )

    key_rate_per_s: int = Field(
        default=10_000, ge=1, description="Requests a second of a key that has no rate of its own"
    )
    tenant_rate_per_s: int = Field(
        default=10_000,
        ge=1,
        description="Requests a second of all keys of a tenant that has no rate of its own",
    )
    jwt_issuer: str = Field(
        default="",
        description="Issuer (`iss`) whose JWT bearer tokens open the API beside its keys; empty: nobody's",
    )
    jwt_audience: str = Field(default="", description="Audience (`aud`) that such a token must name")
    jwt_jwks: str = Field(
        default="", description="The issuer's public keys as JWKS: a file, or an `https://` address"
    )
    jwt_refresh_s: float = Field(
        default=300, ge=10, description="After this time the issuer's keys are read again"
    )
    jwt_tenant_claim: str = Field(default="tenant", description="Claim that names the tenant")
    jwt_scope_claim: str = Field(
        default="scope", description="Claim with the scopes, as one string or as a list"
    )

    flower: bool = Field(default=True, description="Whether Flower runs")
    flower_port: int = Field(default=0, ge=0, le=65535, description="Port of Flower, on loopback")
    sandbox: bool = Field(default=True, description="Whether the provider sandbox runs")
    sandbox_port: int = Field(
        default=0, ge=0, le=65535, description="Port of the provider sandbox, on loopback"
    )
    crash_points: bool = Field(
        default=False,
        description="Whether a file in `$UOOP_HOME/crash-points` kills, once, the process that reaches the point "
        "it names; for fault tests",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level logged"
    )

    @classmethod
    def load(cls) -> Self:
        """
        Read the environment.

        :raises SettingsRefused: if a ``UOOP_*`` variable is unknown or has a wrong value
        """
        _refuse_unknown()
        try:
            return cls()
        except ValidationError as error:
            raise SettingsRefused(**_problems(error)) from error

    @field_validator("home", "providers")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().resolve()

    @field_validator("webhook_key")
    @classmethod
    def _long_enough(cls, keys: SecretStr) -> SecretStr:
        given = keys.get_secret_value()
        if given and any(len(key) < SHORTEST_KEY for key in given.split(",")):
            raise ValueError(f"a key has {SHORTEST_KEY} characters or more")
        return keys

    @field_validator("database_url")
    @classmethod
    def _database(cls, url: SecretStr) -> SecretStr:
        scheme, _, rest = url.get_secret_value().partition("://")
        if scheme and scheme not in {"postgres", "postgresql", "postgresql+psycopg2"}:
            raise ValueError("a Postgres URL begins with postgresql://")
        return SecretStr(f"postgresql+psycopg2://{rest}" if scheme else "")

    @field_validator("only")
    @classmethod
    def _names(cls, only: str) -> str:
        return ",".join(name.strip() for name in only.split(",") if name.strip())

    @field_validator("redis_url", *(f"{role}_url" for role in REDIS_ROLES))
    @classmethod
    def _redis(cls, url: SecretStr) -> SecretStr:
        text = url.get_secret_value()
        if text and urlsplit(text).scheme not in {"redis", "rediss"}:
            raise ValueError("a Redis URL begins with redis:// or rediss://")
        return url

    @field_validator("jwt_jwks")
    @classmethod
    def _jwks(cls, place: str) -> str:
        scheme = urlsplit(place).scheme
        if scheme not in {"", "https"}:
            raise ValueError("the keys come from a file or an https:// address")
        return place if scheme or not place else str(Path(place).expanduser().resolve())

    @model_validator(mode="after")
    def _issuer_is_whole(self) -> Self:
        if len({bool(self.jwt_issuer), bool(self.jwt_audience), bool(self.jwt_jwks)}) > 1:
            raise ValueError("UOOP_JWT_ISSUER, UOOP_JWT_AUDIENCE and UOOP_JWT_JWKS are given together")
        return self

    @model_validator(mode="after")
    def _kafka_is_whole(self) -> Self:
        if self.kafka_security == "scram" and not (self.kafka_username and self.kafka_password):
            raise ValueError("UOOP_KAFKA_SECURITY=scram needs UOOP_KAFKA_USERNAME and UOOP_KAFKA_PASSWORD")
        if self.kafka_security == "iam" and not self.kafka_region:
            raise ValueError("UOOP_KAFKA_SECURITY=iam needs UOOP_KAFKA_REGION")
        return self

    @model_validator(mode="after")
    def _part_of_more(self) -> Self:
        if self.only and (not self.database_url or self.lacks_redis):
            raise ValueError(
                "UOOP_ONLY needs UOOP_DATABASE_URL and UOOP_REDIS_URL: other hosts do not reach embedded servers"
            )
        return self

    @model_validator(mode="after")
    def _derive(self) -> Self:
        """Fill in what follows from other values; it does not count as given, so it follows them again."""
        derived: dict[str, Path | SecretStr] = {"providers": self.home / "providers.json"}
        derived.update(_role_urls(self.redis_url.get_secret_value()))
        self.__dict__.update({name: derived[name] for name in derived.keys() - self.model_fields_set})
        return self

    @property
    def lacks_redis(self) -> bool:
        """Whether a role of Redis has no server named."""
        return not (self.redis_url or all(getattr(self, f"{role}_url") for role in REDIS_ROLES))

    def runs(self, name: str) -> bool:
        """Whether a process of the platform, by its name in `uoop ps`, runs on this host."""
        chosen = self.only.split(",") if self.only else [name]
        wanted = name in chosen or ("workers" in chosen and name.startswith("worker-"))
        return wanted and bool(getattr(self, name, True))  # Flower and the sandbox have a switch of their own

    def with_values(self, **values: object) -> Self:
        """The same settings with some values given: they win over the environment and are checked alike."""
        return type(self)(**{name: getattr(self, name) for name in self.model_fields_set} | values)

    def environment(self) -> dict[str, str]:
        """Every setting as a variable, secrets in clear: what a child process is given."""
        return {PREFIX + name.upper(): _plain(getattr(self, name)) for name in type(self).model_fields}


def table() -> str:
    """The settings as a Markdown table, one line each."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        lines.append(f"| `{PREFIX}{name.upper()}` | {_shown(field.default)} | {field.description} |")
    return "\n".join(lines) + "\n"


def _role_urls(redis_url: str) -> dict[str, Path | SecretStr]:
    if not redis_url:
        return {}
    return {
        f"{role}_url": SecretStr(urlsplit(redis_url)._replace(path=f"/{number}").geturl())
        for number, role in enumerate(REDIS_ROLES)
    }


def _refuse_unknown() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in sorted(os.environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            close = difflib.get_close_matches(name.upper(), known, n=1)
            meant = f"did you mean {close[0]}?" if close else "`uoop settings` lists all"
            raise SettingsRefused(unknown=f"{name} is not a setting: {meant}")


def _problems(error: ValidationError) -> dict[str, str]:
    """One line per wrong variable; the value is left out, since it may hold a password."""
    found = {}
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        message = problem["msg"].removeprefix("Value error, ")
        name = str(problem["loc"][0]) if problem["loc"] else "settings"
        found[name] = f"{PREFIX}{name.upper()} is wrong: {message}" if problem["loc"] else message
    return found


def _plain(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value)


def _shown(default: object) -> str:
    text = _plain(default)
    return f"`{text}`" if text else ""
