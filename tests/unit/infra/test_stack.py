import json

import pytest
from pydantic import ValidationError

from infra import sandbox_providers, stack
from infra.settings import REDIS_ROLES, Settings, SettingsRefused


def resolved(home, **values):
    urls = {"database_url": "postgres://db/orders", "redis_url": "redis://:hidden@cache"}
    ports = {"port": 8081, "flower_port": 5001, "sandbox_port": 5002}
    return Settings.load().with_values(home=home, **urls, **ports, **values)


def test_every_process_has_its_place(home):
    listed = {process.name: process for process in stack.processes(resolved(home))}

    assert set(listed) == {"prepare", "api", "beat", "sandbox", "flower", *stack.WORKERS}
    assert {name for name, process in listed.items() if process.worker} == set(stack.WORKERS)
    assert all(listed["api"].stop_stage < listed[name].stop_stage for name in stack.WORKERS)
    assert all(listed["prepare"].stage < listed[name].stage for name in ("api", "beat", *stack.WORKERS))


def test_flower_and_sandbox_can_be_left_out(home):
    names = {process.name for process in stack.processes(resolved(home, flower=False, sandbox=False))}

    assert not names & {"flower", "sandbox"}


def test_a_host_can_run_a_part_of_them(home):
    def names(only):
        return {process.name for process in stack.processes(resolved(home, only=only))}

    assert names("api, beat") == {"prepare", "api", "beat"}
    assert names("workers") == {"prepare", *stack.WORKERS}
    assert names("sandbox,worker-steps") == {"prepare", "sandbox", "worker-steps"}
    assert names("") == {"prepare", *stack.NAMES}


def test_a_process_that_there_is_not_is_refused(home):
    with pytest.raises(SettingsRefused, match="worker-step,"):
        stack.processes(resolved(home, only="api,worker-step"))


def test_a_part_of_them_needs_stores_that_others_reach(home):
    urls = {f"{role}_url": "redis://cache" for role in REDIS_ROLES}

    Settings.load().with_values(home=home, only="api", database_url="postgres://db/orders", **urls)

    for missing in ("database_url", "ledger_url"):
        given = {"database_url": "postgres://db/orders"} | urls
        del given[missing]
        with pytest.raises(ValidationError, match="UOOP_ONLY needs"):
            Settings.load().with_values(home=home, only="api", **given)


def test_no_redis_is_embedded_where_every_role_has_one(home):
    urls = {f"{role}_url": "redis://cache" for role in REDIS_ROLES}
    settings = Settings.load().with_values(home=home, database_url="postgres://db/orders", **urls)

    assert stack.embed(settings) == (settings, [])


def test_no_secret_is_on_a_command_line(home):
    settings = resolved(home)
    processes = stack.processes(settings)
    password = (home / "flower-password").read_text().strip()

    assert all("hidden" not in part and password not in part for one in processes for part in one.command)


def test_children_get_the_resolved_settings(home, monkeypatch):
    settings = resolved(home)
    monkeypatch.setenv("UOOP_PORT", "1")

    api = next(process for process in stack.processes(settings) if process.name == "api")

    assert api.env["UOOP_PORT"] == "8081"
    assert api.env["UOOP_BROKER_URL"] == "redis://:hidden@cache/0"


def test_the_providers_of_the_sandbox_are_declared_at_its_port(home):
    sandbox_providers.write_providers(resolved(home))

    declared = json.loads((home / "providers.json").read_text())["providers"]

    assert {one["kind"] for one in declared} == {"payment", "restaurant", "delivery"}
    assert all(one["url"] == f"http://127.0.0.1:5002/{one['name']}" for one in declared)
    assert {one["bulk"] for one in declared} == {True, False}
