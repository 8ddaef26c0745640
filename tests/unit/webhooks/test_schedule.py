"""When to try again, what answers say of a receiver, and secrets at rest."""

import pytest

from app.webhooks import schedule
from app.webhooks.keyring import Keyring, SecretUnreadable
from app.webhooks.post import Reply
from app.webhooks.schedule import TRIES, Verdict

OLD, NEW = "o" * 32, "n" * 32
TAKEN = Reply(status=204, took_s=0.1)
FAILED = Reply(status=500, took_s=0.1)
BUSY = Reply(status=429, took_s=0.1, retry_after_s=30.0)
GONE = Reply(status=410, took_s=0.1)


def test_all_tries_together_take_about_three_days() -> None:
    waits = [schedule.wait_s(tries, asked_s=None, chance=0.0) for tries in range(1, TRIES)]

    assert TRIES == 10
    assert sum(wait or 0.0 for wait in waits) / 3600 == pytest.approx(75.6, abs=0.1)
    assert sum(wait or 0.0 for wait in waits) > schedule.DISABLED_AFTER_S


@pytest.mark.parametrize(
    ("tries", "asked_s", "chance", "wait_s"),
    [
        (1, None, 0.0, 5.0),
        (1, None, 1.0, 5.5),
        (1, 60.0, 0.0, 60.0),
        (3, 60.0, 0.0, 1800.0),
        (TRIES, None, 0.0, None),
        (TRIES, 60.0, 0.0, None),
    ],
)
def test_the_longer_wait_wins_and_the_last_try_is_the_last(
    tries: int, asked_s: float | None, chance: float, wait_s: float | None
) -> None:
    assert schedule.wait_s(tries, asked_s=asked_s, chance=chance) == wait_s


@pytest.mark.parametrize(
    ("replies", "verdict"),
    [
        ([TAKEN], Verdict(recovered=True, failures=0, quiet_s=0.0, gone=False)),
        ([FAILED, FAILED], Verdict(recovered=False, failures=2, quiet_s=0.0, gone=False)),
        ([FAILED, TAKEN, FAILED], Verdict(recovered=True, failures=1, quiet_s=0.0, gone=False)),
        ([FAILED, BUSY], Verdict(recovered=False, failures=2, quiet_s=30.0, gone=False)),
        ([BUSY, TAKEN], Verdict(recovered=True, failures=0, quiet_s=0.0, gone=False)),
        ([GONE, TAKEN], Verdict(recovered=True, failures=0, quiet_s=0.0, gone=True)),
    ],
)
def test_answers_are_judged_in_the_order_in_which_they_came(replies: list[Reply], verdict: Verdict) -> None:
    assert schedule.verdict(replies) == verdict


def test_a_new_key_seals_and_the_old_one_still_opens() -> None:
    sealed = Keyring(OLD).seal("whsec_x")
    both = Keyring(NEW, OLD)

    assert b"whsec_x" not in sealed
    assert both.open(sealed) == "whsec_x"
    assert Keyring(NEW).open(both.seal("whsec_y")) == "whsec_y"
    with pytest.raises(SecretUnreadable):
        Keyring(NEW).open(sealed)
