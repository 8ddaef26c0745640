import time

from celery import Celery

from tasks.punctual import Punctual


def test_a_job_is_waited_for_by_sleeping():
    app = Celery(broker="memory://", set_as_current=False)
    app.conf.beat_schedule = {"job": {"task": "job", "schedule": 0.2}}
    scheduler = Punctual(app=app)
    sent, looks = [], 0
    scheduler.apply_entry = lambda entry, **_: sent.append(entry.name)

    while len(sent) < 3:
        looks += 1
        time.sleep(max(0.0, scheduler.tick()))

    assert sent == ["job"] * 3
    assert looks < 20
