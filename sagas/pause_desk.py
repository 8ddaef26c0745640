"""The operators' switchboard: what is paused, by whom, and until when. Pauses hold for all tenants."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from sqlalchemy import Engine as Database

from app import database, errors
from app.doorbell import Bell, Doorbell
from app.runs import pauses
from app.runs.pauses import Kind, Pause, PauseAct
from sagas.definition import Registry


class UnknownName(errors.Rejected):
    """There is nothing of that name."""

    code = "unknown-name"


@dataclass(frozen=True, slots=True)
class Paused:
    """What is paused, longest first, and the latest pauses and resumes, newest first."""

    pauses: list[Pause]
    acts: list[PauseAct]


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """
    What an operator wants paused or resumed.

    :param tenant_id: whose operator
    :param for_s: after so many seconds it is resumed by itself; None is never
    """

    kind: Kind
    name: str
    tenant_id: str
    who: str
    why: str
    for_s: float | None = None


class PauseDesk:
    """
    The switchboard of one process; every method opens its own short transaction.

    :param partners: names of all who are called
    """

    def __init__(
        self, db: Database, sagas: Registry, partners: Callable[[], Collection[str]], doorbell: Doorbell
    ) -> None:
        self._db, self._sagas, self._partners, self._doorbell = db, sagas, partners, doorbell

    def paused(self, tenant_id: str) -> Paused:
        """What is paused; waiting runs are counted of this tenant."""
        return database.read(self._db, lambda c: Paused(pauses.active(c, tenant_id), pauses.past_acts(c)))

    def pause(self, wanted: Switch) -> Paused:
        """
        Hold it back: whoever comes by waits. What is being done at this moment is finished.

        :raises UnknownName:
        """
        known = self._names(wanted.kind)
        if wanted.name not in known:
            raise UnknownName(
                detail=f"There is no {wanted.kind} of that name, but {', '.join(sorted(known))}."
            )
        with self._db.begin() as connection:
            pauses.pause(
                connection,
                wanted.kind,
                wanted.name,
                for_s=wanted.for_s,
                tenant_id=wanted.tenant_id,
                who=wanted.who,
                why=wanted.why,
            )
        return self.paused(wanted.tenant_id)

    def resume(self, wanted: Switch) -> Paused:
        """
        Let go on what waits.

        :raises NotPaused:
        """
        with self._db.begin() as connection:
            pauses.resume(
                connection,
                wanted.kind,
                wanted.name,
                tenant_id=wanted.tenant_id,
                who=wanted.who,
                why=wanted.why,
            )
        self._doorbell.ring(Bell.CLAIM)
        return self.paused(wanted.tenant_id)

    def _names(self, kind: Kind) -> set[str]:
        match kind:
            case Kind.SAGA:
                return {saga.name for saga in self._sagas}
            case Kind.STEP:
                return {step.name for saga in self._sagas for step in saga.steps}
            case Kind.PARTNER:
                return set(self._partners())
