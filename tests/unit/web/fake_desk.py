"""An operators' desk that notes what it was asked and tells what it was told to."""

import msgspec

from app.routing.choice import Weights
from app.runs.views import Acted, ActedInBulk, ParkedGroup, RunFilter, RunPage, RunStory, RunSummary, RunTrace
from sagas.channel_desk import BreakerSwitch, Channels
from sagas.operations import Instruction
from sagas.pause_desk import Paused, Switch
from sagas.wishes import Refunding, RefundWish
from web.description import run_examples as examples
from web.description.channels import CHANNELS_EXAMPLE
from web.description.pauses import PAUSED_EXAMPLE

CHANNELS = msgspec.convert(CHANNELS_EXAMPLE, Channels)
STORY = msgspec.convert(examples.STORY, RunStory)
TRACE = msgspec.convert(examples.TRACE, RunTrace)
GROUP = msgspec.convert(examples.PARKED["groups"][0], ParkedGroup)
ACTED = msgspec.convert(examples.ACTED, Acted)
IN_BULK = msgspec.convert(examples.ACTED_IN_BULK, ActedInBulk)
REFUNDING = msgspec.convert(examples.REFUNDING, Refunding)
PAUSED = msgspec.convert(PAUSED_EXAMPLE, Paused)
RUN = msgspec.convert(examples.RUN, RunSummary)


class Desk:
    def __init__(self) -> None:
        self.asked: list[object] = []
        self.fails: Exception | None = None
        self.next: int | None = None

    def search(self, tenant_id: str, wanted: RunFilter, after: int | None, limit: int) -> RunPage:
        self._note(tenant_id, wanted, after, limit)
        return RunPage([RUN], self.next)

    def story(self, tenant_id: str, name: str) -> RunStory:
        self._note(tenant_id, name)
        return STORY

    def trace(self, tenant_id: str, name: str) -> RunTrace:
        self._note(tenant_id, name)
        return TRACE

    def parked(self, tenant_id: str) -> list[ParkedGroup]:
        self._note(tenant_id)
        return [GROUP]

    def act(self, tenant_id: str, name: str, wanted: Instruction) -> Acted:
        self._note(tenant_id, name, wanted)
        return ACTED

    def refund(self, tenant_id: str, order_id: str, wish: RefundWish) -> Refunding:
        self._note(tenant_id, order_id, wish)
        return REFUNDING

    def act_on_all(
        self,
        tenant_id: str,
        wanted: RunFilter,
        instruction: Instruction,
        *,
        limit: int,
        rate_per_s: float | None,
    ) -> ActedInBulk:
        self._note(tenant_id, wanted, instruction, limit, rate_per_s)
        return IN_BULK

    def _note(self, *asked: object) -> None:
        self.asked.append(asked)
        if self.fails:
            raise self.fails


class ChannelDesk:
    """Notes what it was asked and tells what it was told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.fails: Exception | None = None

    def channels(self, tenant_id: str) -> Channels:
        return self._answer("channels", tenant_id)

    def force(self, wanted: BreakerSwitch) -> Channels:
        return self._answer("force", wanted)

    def release(self, wanted: BreakerSwitch) -> Channels:
        return self._answer("release", wanted)

    def weigh(self, tenant_id: str, weights: Weights, *, who: str, why: str) -> Channels:
        return self._answer("weigh", tenant_id, weights, who, why)

    def _answer(self, *asked: object) -> Channels:
        self.asked.append(asked)
        if self.fails:
            raise self.fails
        return CHANNELS


class Switchboard:
    """Notes what it was asked and tells what it was told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, object]] = []
        self.fails: Exception | None = None

    def paused(self, tenant_id: str) -> Paused:
        return self._answer("paused", tenant_id)

    def pause(self, wanted: Switch) -> Paused:
        return self._answer("pause", wanted)

    def resume(self, wanted: Switch) -> Paused:
        return self._answer("resume", wanted)

    def _answer(self, what: str, asked: object) -> Paused:
        self.asked.append((what, asked))
        if self.fails:
            raise self.fails
        return PAUSED
