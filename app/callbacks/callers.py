"""Who may send callbacks, how he writes and by which keys he signs: as the providers file says."""

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from app import errors
from app.callbacks import signature
from app.callbacks.formats import FORMATS
from app.callbacks.model import Format
from app.deliveries.model import Reporter
from app.providers import registry
from app.providers.port import Kind
from app.providers.registry import ProviderConfig, ProvidersFileError

READ_EVERY_S = 2.0
REPORTERS = {Kind.DELIVERY: Reporter.PARTNER, Kind.RESTAURANT: Reporter.RESTAURANT}

log = structlog.get_logger()


class CallbacksClosed(errors.Unavailable):
    """It cannot be told who may send callbacks."""

    code = "callbacks-closed"


@dataclass(frozen=True, slots=True)
class Caller:
    """One who may send callbacks."""

    reporter: Reporter
    format: Format
    rate_per_s: int
    keys: tuple[bytes, ...] = field(repr=False)


def check(configs: Iterable[ProviderConfig]) -> None:
    """:raises ProvidersFileError: if what is declared of callbacks cannot be meant"""
    for config in configs:
        if config.callbacks is None:
            continue
        if config.kind not in REPORTERS:
            raise ProvidersFileError(
                f"{config.name} is of kind {config.kind}, of which there are no callbacks"
            )
        if config.callbacks.format not in FORMATS:
            raise ProvidersFileError(f"{config.name} needs a format of callbacks: {', '.join(FORMATS)}")


def callers(configs: Iterable[ProviderConfig]) -> dict[str, Caller]:
    """
    By name.

    :raises ProvidersFileError: as `check` does, and if a secret is not where it should be; none is quoted
    """
    declared = list(configs)
    check(declared)
    return {
        config.name: Caller(
            REPORTERS[config.kind],
            FORMATS[config.callbacks.format],
            config.callbacks.rate_per_s,
            tuple(_key(config.name, each) for each in config.callbacks.secrets),
        )
        for config in declared
        if config.callbacks
    }


class CallersFile:
    """The callers as a providers file has them, read anew every two seconds when it is asked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: dict[str, Caller] | None = None
        self._read_at = float("-inf")

    def __call__(self) -> Mapping[str, Caller]:
        """
        While the file cannot be used, it is taken for what it was before.

        :raises CallbacksClosed: if it never could
        """
        if time.monotonic() - self._read_at > READ_EVERY_S:
            self._read_at = time.monotonic()
            try:
                self._read = callers(registry.read(self._path))
            except ProvidersFileError as error:
                log.error("callers-unknown", reason=str(error))
        if self._read is None:
            raise CallbacksClosed()
        return self._read


def _key(name: str, told: str) -> bytes:
    """The key of a secret that stands there, in a file (`file:PATH`) or in the environment (`env:NAME`)."""
    place, _, where = told.partition(":")
    try:
        if place == "file":
            return signature.key(Path(where).read_text().strip())
        if place == "env":
            return signature.key(os.environ[where].strip())
        return signature.key(told)
    except (OSError, KeyError, UnicodeDecodeError):
        raise ProvidersFileError(f"{name} has a secret of callbacks that is not there") from None
    except ValueError as error:
        raise ProvidersFileError(f"{name} has a secret of callbacks that is none: {error}") from None
