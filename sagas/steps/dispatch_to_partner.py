"""
The pivot: a delivery partner takes the order.

At most one dispatch of an order may stand. The next partner is asked only when the one before has surely no
effect: he refused, or could not be reached at all, and nobody asked him before; else he must first acknowledge
the recall. Who is asked next is committed before he is asked, and who is recalled before he is recalled: an
executor that slept must not take back what another has meanwhile arranged with the same partner.

He who has a limit per window is asked only for orders that hold a place with him.

Of a partner whose breaker is not closed nothing new is asked: his orders go to the next one at once, but a few that
probe him. These first ask him for what they surely do not find, so that no order is in doubt for having probed.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from msgspec import structs
from sqlalchemy import Connection

from app.providers import port
from app.providers.port import Answer, Provider, Request, Resource
from app.restaurants import queries as restaurants
from app.restaurants.queries import Restaurant
from app.routing.breaker import PROBE_ORDERS, BreakerState
from app.routing.pickup import PICKUP
from app.runs import attempts, cohorts, dispatched, executions
from app.runs.attempts import Attempt
from app.runs.model import UNDONE, Member, Outcome, Outcomes, Verdict, is_provider_lane, provider_lane
from sagas import pausing
from sagas.definition import Call, Result
from sagas.ports import Ports
from sagas.steps import asking, partner_places, plan_fulfilment

NAME = dispatched.STEP
READS = ("customer_id", "restaurant_id", "delivery_location")
USES = (plan_fulfilment.NAME,)
NOBODY_LEFT = dispatched.NOBODY_LEFT
LOOK_AGAIN_S = 2.0


@dataclass(frozen=True, slots=True)
class _Asked:
    """
    A member and the partner whose turn it is.

    :param partners: whose turn it is, and those after him
    :param nth: how many times another was asked before him
    :param before: who may have been asked in earlier executions
    :param unreached: one of those before him could not be reached, so that it is worth coming again
    :param full: he was not asked after all, since he has no room
    :param recalling: he is not asked, but taken out of it before the next one is asked
    :param probing: he is asked to see whether he is well again
    """

    member: Member
    partners: tuple[str, ...]
    nth: int
    before: frozenset[str] = frozenset()
    unreached: bool = False
    full: bool = False
    recalling: bool = False
    probing: bool = False

    @property
    def partner(self) -> str:
        return self.partners[0]

    @property
    def sure(self) -> bool:
        """Whether nobody can have asked this partner before."""
        return self.partner not in self.before

    @property
    def key(self) -> str:
        return asking.key(self.member, NAME, self.partner)

    def followed_by(self, partners: tuple[str, ...]) -> "_Asked":
        """Whose turn it is next; in the place of one who surely was not asked, of whom nothing need be kept."""
        nth = self.nth if self.full and self.sure else self.nth + 1
        return replace(self, partners=partners, nth=nth, full=False, recalling=False, probing=False)


def dispatch(ports: Ports, call: Call, members: Sequence[Member]) -> Result:
    """
    Ask each order's partner, all partners side by side, and the next one where that is safe.

    Whose partner others wait for already, joins them in his lane unasked: nobody else shall wait for him.
    """
    with ports.engine.begin() as connection:
        later = attempts.all_of(connection, [m.run_id for m in members])
        places = restaurants.known(connection, ((m.tenant_id, m.given["restaurant_id"]) for m in members))
        slow = _silent(connection, ports, call)
    turn = [_first(m, later.get(m.run_id, []), call) for m in members]
    outcomes: dict[int, Outcome] = {}
    barred = ports.breakers.barred()
    if call.paused:
        turn = _passing_over(ports, call, barred, turn, outcomes)
    if barred:
        turn = _past_barred(ports, call, barred, turn, outcomes)
    outcomes |= {
        asked.member.run_id: Outcome(Verdict.NOT_YET, "partner-silent", provider=asked.partner)
        for asked in turn
        if asked.partner in slow and not asked.before and not asked.probing
    }
    turn = [asked for asked in turn if asked.member.run_id not in outcomes]
    while turn:
        going_on = [asked for asked in turn if asked.recalling]
        turn = [asked for asked in turn if not asked.recalling]
        turn = _with_places(ports, call, turn, going_on, outcomes)
        answers = asking.side_by_side(turn, partial(_ask, ports, call, places))
        for asked in turn:
            answer = answers[asked.member.run_id]
            outcome = _read(asked, answer, barred)
            if outcome is not None:
                outcomes[asked.member.run_id] = outcome
            elif answer.verdict is port.Verdict.UNAVAILABLE:
                going_on.append(replace(asked, unreached=True))
            else:
                going_on.append(asked)
        turn = _next_partners(ports, call, barred, going_on, outcomes)
    return Result(outcomes)


def _with_places(
    ports: Ports, call: Call, turn: Sequence[_Asked], going_on: list[_Asked], outcomes: dict[int, Outcome]
) -> list[_Asked]:
    """Those who have a place with their partner, or need none; where he is full it is as if he had refused."""
    turns = [partner_places.Turn(asked.member, asked.partner, asked.sure) for asked in turn]
    full, later = partner_places.take(ports, call, turns)
    going_on += [replace(asked, full=True) for asked in turn if asked.member.run_id in full]
    outcomes |= later
    if later:
        outcomes |= _too_early(ports, turn, later)
    return [a for a in turn if a.member.run_id not in full and a.member.run_id not in later]


def _too_early(ports: Ports, turn: Sequence[_Asked], later: Outcomes) -> dict[int, Outcome]:
    """Those for whom nobody was asked yet look again soon, while they have time: they need no recall from anybody."""
    unasked = [a.member for a in turn if a.member.run_id in later and a.sure and a.nth == 0]
    return {
        run_id: structs.replace(later[run_id], verdict=Verdict.NOT_YET, due_in_s=min(LOOK_AGAIN_S, left_s))
        for run_id, left_s in asking.time_left_s(ports, unasked).items()
        if left_s > 0
    }


def recall(ports: Ports, call: Call, members: Sequence[Member]) -> Result:
    """Take the dispatch back from every partner that may have it, all at once: none is waited for after another."""
    with ports.engine.begin() as connection:
        later = attempts.all_of(connection, [m.run_id for m in members])
    everybody = [
        _Asked(member, (partner,), 0)
        for member in members
        for partner in _asked_so_far(member, later.get(member.run_id, []))
    ]
    outcomes: dict[int, Outcome] = {member.run_id: UNDONE for member in members}
    for told in asking.each_at_once(everybody, partial(_recall, ports, call)):
        outcomes |= {r: outcome for r, outcome in told.items() if outcome.verdict is not Verdict.UNDONE}
    return Result(outcomes)


def _silent(connection: Connection, ports: Ports, call: Call) -> set[str]:
    """Partners in whose lanes others wait, unless this is such a lane."""
    if is_provider_lane(call.lane):
        return set()
    lanes = {provider_lane(name): name for name in ports.delivery}
    return {lanes[lane] for lane in cohorts.lanes_in_trouble(connection, list(lanes))}


def _first(member: Member, later: Sequence[Attempt], call: Call) -> _Asked:
    """The partner who was asked last, or the planned one; after him all others, also those before him."""
    ranking = _planned(member)
    start, nth = (ranking.index(later[-1].partner), later[-1].nth) if later else (0, 0)
    fresh = call.sure and not member.attempts and not nth
    return _Asked(
        member,
        ranking[start:] + ranking[:start],
        nth,
        before=frozenset() if fresh else _asked_so_far(member, later),
        recalling=bool(later and later[-1].recall),
    )


def _asked_so_far(member: Member, later: Sequence[Attempt]) -> frozenset[str]:
    """Whoever may have been asked: the planned partner, unless another was asked in his place, and all after him."""
    passed_over = bool(later) and later[0].nth == 0
    return frozenset(a.partner for a in later) | frozenset(() if passed_over else _planned(member)[:1])


def _passing_over(
    ports: Ports,
    call: Call,
    barred: Collection[str],
    turn: Sequence[_Asked],
    outcomes: dict[int, Outcome],
) -> list[_Asked]:
    """Partners whom an operator holds back are not asked; who has perhaps been asked before is waited for."""
    going_on, instead, left = [], [], []
    for asked in turn:
        others = _in_turn(asked.partners, call.paused.union(barred))
        if asked.partner not in call.paused:
            going_on.append(asked)
        elif asked.recalling or not asked.sure:
            outcomes[asked.member.run_id] = pausing.outcome(asking.partners_lane(asked.partner), sure=False)
        elif others:
            instead.append(replace(asked, partners=others))
        elif call.paused.issuperset(asked.partners):
            outcomes[asked.member.run_id] = pausing.outcome(_lane_of_all_paused(asked, call), sure=True)
        else:
            left.append(asked.member)
    _intend(ports, call, instead)
    outcomes |= _waiting(ports, left)
    return going_on + instead


def _past_barred(
    ports: Ports,
    call: Call,
    barred: Mapping[str, BreakerState],
    turn: Sequence[_Asked],
    outcomes: dict[int, Outcome],
) -> list[_Asked]:
    """
    Orders of partners whose breakers are not closed go to the next one; who may have been asked before must wait.

    Where nobody is left the order looks again soon, until the time in which it must be confirmed is nearly over.
    """
    going_on, instead, left = [], [], []
    probes = _probes(ports, barred, {a.partner for a in turn if a.sure})
    for asked in turn:
        others = _in_turn(asked.partners, call.paused.union(barred))
        if asked.partner not in barred or not asked.sure:
            going_on.append(asked)
        elif probes.get(asked.partner):
            probes[asked.partner] -= 1
            going_on.append(replace(asked, probing=True))
        elif others:
            instead.append(replace(asked, partners=others))
        else:
            left.append(asked.member)
    _intend(ports, call, instead)
    outcomes |= _waiting(ports, left)
    return going_on + instead


def _in_turn(partners: Sequence[str], passed_over: Collection[str]) -> tuple[str, ...]:
    """Those who can be asked, and after them those who cannot now; nothing if nobody can."""
    can = [name for name in partners if name not in passed_over]
    return (*can, *(name for name in partners if name in passed_over)) if can else ()


def _probes(ports: Ports, barred: Mapping[str, BreakerState], partners: Collection[str]) -> dict[str, int]:
    """How many orders may probe each of the partners."""
    half_open = [name for name in sorted(partners) if barred.get(name) is BreakerState.HALF_OPEN]
    return {name: PROBE_ORDERS for name in half_open if ports.breakers.take_probe(name)}


def _waiting(ports: Ports, left: Sequence[Member]) -> dict[int, Outcome]:
    """Nobody can be asked, and nobody was: look again, or give up when that would be too late."""
    if not left:
        return {}
    time_s = asking.time_left_s(ports, left)
    return {
        run_id: Outcome(Verdict.NOT_YET, NOBODY_LEFT, due_in_s=LOOK_AGAIN_S)
        if left_s > 2 * LOOK_AGAIN_S
        else Outcome(Verdict.REJECTED, NOBODY_LEFT)
        for run_id, left_s in time_s.items()
    }


def _lane_of_all_paused(asked: _Asked, call: Call) -> str:
    return asking.partners_lane(*call.paused.intersection(_planned(asked.member)))


def _planned(member: Member) -> tuple[str, ...]:
    return tuple(member.given[plan_fulfilment.NAME]["ranking"])


def _read(asked: _Asked, answer: Answer, barred: Collection[str]) -> Outcome | None:
    """The outcome; None if the partner has said no, or perhaps heard nothing, and the next may be thought of."""
    match answer.verdict:
        case port.Verdict.DONE:
            alone = asked.partner in (plan_fulfilment.OWN_FLEET, PICKUP)
            channel = asked.partner if alone else "partner"
            return Outcome(Verdict.DONE, detail={"channel": channel, "partner": asked.partner})
        case port.Verdict.REFUSED:
            return None
        case port.Verdict.UNAVAILABLE if asked.sure or asked.partner in barred:
            return None
        case _:
            return _in_doubt(asked)


def _in_doubt(asked: _Asked) -> Outcome:
    return Outcome(Verdict.IN_DOUBT, "in-doubt", detail={"perhaps": asked.partner}, provider=asked.partner)


def _next_partners(
    ports: Ports,
    call: Call,
    barred: Mapping[str, BreakerState],
    going_on: Sequence[_Asked],
    outcomes: dict[int, Outcome],
) -> list[_Asked]:
    """Who asks whom next: intents are committed, recalls acknowledged where an earlier call may still act."""
    passed_over = call.paused.union(barred)
    settled = [asked for asked in going_on if asked.sure or asked.recalling]
    unsure = [
        replace(asked, nth=asked.nth + 1, recalling=True)
        for asked in going_on
        if not asked.sure and not asked.recalling
    ]
    _intend(ports, call, unsure)
    going_on = settled + unsure
    recalled = asking.side_by_side([a for a in going_on if a.recalling], partial(_recall, ports, call))
    turn: list[_Asked] = []
    # who has been refused by all others is let in to see whether a barred partner is well again
    others_left = [a.partners[1:] for a in going_on]
    stranded = {name for left in others_left if passed_over.issuperset(left) for name in left}
    probes = _probes(ports, barred, stranded - call.paused)
    for asked in going_on:
        told = recalled.get(asked.member.run_id, UNDONE)
        if told.verdict is not Verdict.UNDONE:
            outcomes[asked.member.run_id] = _in_doubt(asked)
        elif others := _in_turn(asked.partners[1:], passed_over):
            turn.append(asked.followed_by(others))
        elif probed := next((name for name in asked.partners[1:] if probes.get(name)), None):
            probes[probed] -= 1
            left = (probed, *(name for name in asked.partners[1:] if name != probed))
            turn.append(replace(asked.followed_by(left), probing=True))
        elif call.paused.intersection(_planned(asked.member)):
            outcomes[asked.member.run_id] = pausing.outcome(_lane_of_all_paused(asked, call), sure=False)
        elif asked.unreached or passed_over.intersection(asked.partners[1:]):
            outcomes[asked.member.run_id] = Outcome(Verdict.UNAVAILABLE, NOBODY_LEFT)
        else:
            outcomes[asked.member.run_id] = Outcome(Verdict.REJECTED, NOBODY_LEFT)
    _intend(ports, call, turn)
    return turn


def _intend(ports: Ports, call: Call, turn: Sequence[_Asked]) -> None:
    """Keep what is done next, as long as no other executor has taken over."""
    if not turn:
        return
    with ports.engine.begin() as connection:
        executions.hold(connection, cohort_id=call.cohort_id, step=call.step, executor=call.executor)
        attempts.intend(connection, {a.member.run_id: Attempt(a.partner, a.recalling, a.nth) for a in turn})


def _ask(
    ports: Ports, call: Call, places: Mapping[tuple[str, str], Restaurant], name: str, group: Sequence[_Asked]
) -> dict[int, Answer]:
    requests = {asked.member.run_id: _request(asked, places) for asked in group}
    before = [asked.member.run_id for asked in group if not asked.sure]
    return asking.do(
        ports.delivery[name],
        Resource.DISPATCHES,
        requests,
        call,
        asked_before=before,
        probing=any(asked.probing for asked in group),
    )


def _recall(ports: Ports, call: Call, name: str, group: Sequence[_Asked]) -> dict[int, Outcome]:
    provider: Provider = ports.delivery[name]
    keys = {asked.member.run_id: asked.key for asked in group}
    return asking.undo(ports, provider, Resource.DISPATCHES, keys, call, [asked.member for asked in group])


def _request(asked: _Asked, places: Mapping[tuple[str, str], Restaurant]) -> Request:
    member, given = asked.member, asked.member.given
    place = places.get((member.tenant_id, given["restaurant_id"]))
    dropoff = given["delivery_location"]
    plan = given[plan_fulfilment.NAME]
    return Request(
        asked.key,
        member.not_after,
        {
            "order": member.order_id,
            "tenant": member.tenant_id,
            "customer": given["customer_id"],
            "restaurant": given["restaurant_id"],
            "pickup": {"lat": place.lat, "lng": place.lng} if place else None,
            "dropoff": {"lat": dropoff["lat"], "lng": dropoff["lng"]},
            "courier": plan.get("courier") if asked.partner == plan_fulfilment.OWN_FLEET else None,
            "eta_s": plan["eta_s"],
            **({"needs": dropoff["needs"]} if "needs" in dropoff else {}),
        },
    )
