"""Three times as many orders as can be done: what is left of the goodput?"""

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import cycle
from typing import Any

from benchmarks import figures, ground, sending
from benchmarks.open_loop import OpenLoop
from benchmarks.pages import Section, table
from infra.demo import city

TITLE = "Overload"
SECONDS, MOST_S, WARM_UP_S = 60.0, 30.0, 4.0
CONNECTIONS = 1000  # with fewer, clients would wait for connections rather than we for them
TIMES, IN_TIME_S = 3.0, 2.0
ALLOWED_SHARE = 0.9
BODIES = 2_000
END_WITHIN_S = 30.0


def measure(scale: float) -> dict[str, Any]:
    with ground.platform() as running:
        sending.at_most(running, WARM_UP_S * scale)
        most = sending.at_most(running, MOST_S * scale).ended_per_s()
        host, port = running.settings.host, running.settings.port
        loop = OpenLoop(host, port, running.token, connections=CONNECTIONS)
        bodies = cycle([order.body for order in city.orders(running.city, BODIES)])
        since = datetime.now(UTC)
        sent = loop.run(bodies, rate=TIMES * most, seconds=SECONDS * scale, name=f"{since:%H%M%S%f}")
        until = datetime.now(UTC)
        loop.close()
        took_s = sending.took_s(running, since, until, within_s=END_WITHIN_S)
    known = sorted(each for each in took_s if each is not None)
    goodput = sum(each <= IN_TIME_S for each in known) / (SECONDS * scale)
    share, unconfirmed = round(goodput / most, 3), took_s.count(None)
    broken = [f"goodput {share:.0%} of the maximum"] if share < ALLOWED_SHARE else []
    broken += [f"{unconfirmed} accepted orders were not confirmed"] if unconfirmed else []
    return {
        "most_per_s": round(most, 1),
        "sent_per_s": round(TIMES * most, 1),
        "goodput_per_s": round(goodput, 1),
        "share": share,
        "accepted": len(took_s),
        "unconfirmed": unconfirmed,
        **figures.milliseconds(known),
        "statuses": {str(status): count for status, count in sorted(sent.statuses.items())},
        "lost": sent.lost,
        "unsent": sent.unsent,
        "sent_late_s": round(sent.behind_s, 3),
        "generator_us": round(sent.cpu_s / max(sent.statuses.total(), 1) * 1e6, 1),
        "broken": broken,
    }


def tell(found: dict[str, Any], _others: Mapping[str, Any]) -> Section:
    answers = ", ".join(f"{count:,} times {status}" for status, count in found["statuses"].items())
    rows = [
        [
            found["most_per_s"],
            found["sent_per_s"],
            found["goodput_per_s"],
            f"{found['share']:.1%}",
            found["p99_ms"],
            found["unconfirmed"],
        ]
    ]
    return Section(
        f"A closed loop finds the maximum; then an open loop sends {TIMES:.0f} times that for {SECONDS:.0f} s, each "
        f"order once. Goodput is what was accepted, and confirmed within {IN_TIME_S:.0f} s of its acceptance. Answers: "
        f"{answers}; {found['unsent']:,} were given up for want of a free one of {CONNECTIONS:,} connections "
        f"within a second. The load generator takes {found['generator_us']} µs a request, which what it overloads "
        "has to do without.\n\n"
        + table(
            ["maximum/s", "sent/s", "goodput/s", "of the maximum", "p99 ms of the accepted", "not confirmed"],
            rows,
        )
    )
