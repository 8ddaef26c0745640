"""
The providers file, read into configurations and adapters.

    {"providers": [
        {"name": "benefit", "kind": "payment", "url": "https://pay.example/v2", "bulk": true, "token": "..."},
        {"name": "swift", "kind": "delivery", "url": "https://swift.example", "bulk": false, "token": "...",
         "base_fee": "0.700", "per_km": "0.100", "speed_m_per_min": 320, "concurrency": 4,
         "callbacks": {"format": "uoop", "secrets": ["whsec_..."]}}]}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import Engine

from app.optimization.model import OWN_FLEET
from app.providers.http import HttpProvider
from app.providers.permits import Permits
from app.providers.port import Kind, Provider
from app.routing.pickup import PICKUP

RESERVED = (OWN_FLEET, PICKUP)  # channels of our own


class ProvidersFileError(ValueError):
    """The providers file cannot be used; the message is one line and quotes no token."""


class CallbackConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    How a provider tells of its own accord.

    :param format: one of `app.callbacks.formats`
    :param secrets: by which it may sign, `whsec_...`, or where they are: `file:PATH`, `env:NAME`
    :param rate_per_s: reports a second that are taken from it
    """

    format: str
    secrets: Annotated[list[str], msgspec.Meta(min_length=1, max_length=4)]
    rate_per_s: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1000

    def __repr__(self) -> str:
        return f"CallbackConfig(format={self.format!r})"


class ProviderConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    One provider as declared. Fees, in the order's currency, speed and reports matter for delivery only.

    :param reports: whether it tells how its deliveries go on, so that silence means something
    :param silence_s: how long after the promised time, or after the last report, nothing is made of its silence
    :param orders_per_hour: as many orders as it takes; then others come first. None is no limit
    :param concurrency: requests in flight to it at once, over all processes; None is no limit
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
    kind: Kind
    url: str
    bulk: bool
    tombstones: bool = True  # whether what was undone can never be done again under its key
    token: Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,512}$")]
    base_fee: Decimal = Decimal(0)
    per_km: Decimal = Decimal(0)
    speed_m_per_min: Annotated[float, msgspec.Meta(gt=0, le=10_000)] = 300.0
    orders_per_hour: Annotated[int, msgspec.Meta(ge=1)] | None = None
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None
    reports: bool = False
    silence_s: Annotated[float, msgspec.Meta(ge=10, le=86_400)] = 900.0
    callbacks: CallbackConfig | None = None

    def __repr__(self) -> str:
        return f"ProviderConfig(name={self.name!r}, kind={self.kind.value!r}, url={self.url!r})"


class _ProvidersFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    providers: list[ProviderConfig]


class Registry:
    """Every declared provider, and its configuration, by name and in the order of the file."""

    def __init__(self, configs: tuple[ProviderConfig, ...], providers: Mapping[str, Provider]) -> None:
        self.configs = {config.name: config for config in configs}
        self._providers = providers

    def __getitem__(self, name: str) -> Provider:
        """
        :raises KeyError: if no provider has this name
        """
        return self._providers[name]

    def __contains__(self, name: object) -> bool:
        return name in self._providers

    def __iter__(self) -> Iterator[Provider]:
        return iter(self._providers.values())

    def of_kind(self, kind: Kind) -> tuple[Provider, ...]:
        return tuple(provider for provider in self if provider.kind is kind)


def load(path: Path, *, engine: Engine) -> Registry:
    """
    :param engine: where it is counted who calls a provider that takes only so many calls at once
    :raises ProvidersFileError: as `read` does
    """
    configs = read(path)
    return Registry(configs, {config.name: adapter(config, engine=engine) for config in configs})


def read(path: Path) -> tuple[ProviderConfig, ...]:
    """
    :raises ProvidersFileError: if the file cannot be read or declares something that cannot be used
    """
    try:
        configs = tuple(msgspec.json.decode(path.read_bytes(), type=_ProvidersFile).providers)
    except OSError as error:
        raise ProvidersFileError(f"providers file {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProvidersFileError(f"providers file {path}: {error}") from error
    names = set[str]()
    for config in configs:
        problem = "is declared twice" if config.name in names else _problem(config)
        if problem:
            raise ProvidersFileError(f"providers file {path}: {config.name} {problem}")
        names.add(config.name)
    return configs


def adapter(config: ProviderConfig, *, engine: Engine) -> HttpProvider:
    return HttpProvider(
        name=config.name,
        kind=config.kind,
        url=config.url,
        bulk=config.bulk,
        token=config.token,
        tombstones=config.tombstones,
        permits=Permits(engine, config.name, most=config.concurrency) if config.concurrency else None,
    )


def _problem(config: ProviderConfig) -> str | None:
    if config.name in RESERVED:
        return "is the name of a channel of our own: a provider needs another"
    if not _is_usable(config.url):
        return "needs an http or https url with a host"
    if not all(fee.is_finite() and fee >= 0 for fee in (config.base_fee, config.per_km)):
        return "needs fees of zero or more"
    return None


def _is_usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and not (parts.query or parts.fragment or parts.username)
            and url.isascii()
            and url.isprintable()
            and " " not in url
        )
    except ValueError:
        return False
