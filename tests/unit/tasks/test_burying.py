from celery.concurrency.asynpool import AsynPool

from tasks import burying


def test_a_pool_looks_for_its_dead_more_often_than_celery_does():
    burying.install()
    pool = AsynPool.__new__(AsynPool)

    assert pool.timers == {pool.maintain_pool: burying.LOOK_EVERY_S}
