import os

import pytest

from infra.supervisor import backoff, logs, readiness, remains, state
from infra.supervisor.state import AlreadyRunning, Row, State

ROW = Row(name="supervisor", pid=7, port=None, restarts=0, since=1.5, state="running")


@pytest.mark.parametrize(("deaths", "delay_s"), [(1, 0.2), (2, 0.4), (4, 1.6), (5, 2.0), (1000, 2.0)])
def test_the_delay_doubles_up_to_two_seconds(deaths, delay_s):
    assert backoff.delay_s(deaths) == delay_s


@pytest.mark.parametrize(("lived_s", "deaths"), [(0.0, 4), (29.9, 4), (30.0, 1)])
def test_a_process_that_was_healthy_begins_anew(lived_s, deaths):
    assert backoff.deaths_in_a_row(3, lived_s) == deaths


def test_the_state_is_read_as_written(home):
    written = State(ready=True, processes=(ROW,))

    state.write(home, written)

    assert state.read(home) == written


@pytest.mark.parametrize("text", ["", "{", "[]", '{"ready": true, "processes": [{"name": "x"}]}'])
def test_a_broken_state_is_none(home, text):
    state.path(home).write_text(text)

    assert state.read(home) is None


def test_a_home_is_held_by_one(home):
    with state.lock(home), pytest.raises(AlreadyRunning), state.lock(home):
        pass


def test_the_holder_is_known_while_it_holds(home):
    with state.lock(home):
        during = state.holder(home)

    assert during == os.getpid()
    assert state.holder(home) is None


def test_a_long_log_is_cut_and_its_writer_goes_on(home):
    with logs.writer(home, "api") as log:
        log.write(b"old\n" * 100)
        log.flush()
        logs.rotate(home, most_bytes=100)
        log.write(b"new\n")

    assert logs.tail(home, "api", 10) == ["new"]
    assert (home / "logs" / "api.log.1").read_bytes() == b"old\n" * 100


def test_the_tail_of_an_unknown_log_is_refused(home):
    with pytest.raises(logs.NoLog, match="no log of nobody here"):
        logs.tail(home, "nobody", 10)


def test_following_goes_on_after_a_cut(home):
    with logs.writer(home, "api") as log:
        followed = logs.follow(home, "api", until=lambda: log.write(b"more\n" * 40) and log.flush())
        seen = next(followed)
        logs.rotate(home, most_bytes=100)
        seen += next(followed)

    assert seen.count("more\n") * 5 == len(seen)


def test_nobody_answers_on_a_free_port():
    assert not readiness.port_open("127.0.0.1", 1)
    assert not readiness.http_ok("127.0.0.1", 1, "/readyz")


def test_a_home_without_processes_has_no_remains(home):
    assert remains.find(home, []) == []
    assert remains.kill(home, []) == 0
