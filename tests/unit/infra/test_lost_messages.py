"""That messages may be lost is said until Redis has heard it."""

import pytest
from redis.exceptions import ResponseError

from infra import wiring
from infra.settings import Settings


def test_it_is_said_again_while_redis_refuses_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def forget(_carrier: object) -> None:
        said.append("forget")
        if len(said) < 3:
            raise ResponseError("NOREPLICAS Not enough good replicas to write.")

    monkeypatch.setattr(wiring.CeleryCarrier, "forget", forget)
    monkeypatch.setattr(wiring, "TELL_EVERY_S", 0.0)

    monkeypatch.setattr(wiring.Celery, "send_task", lambda *_, **__: said.append("sweep"))

    nowhere = {"database_url": "postgresql://127.0.0.1:1/none", "redis_url": "redis://127.0.0.1:1"}
    wiring.worker_died(Settings.load().with_values(**nowhere), None)

    assert said == ["forget", "forget", "forget", "sweep"]
