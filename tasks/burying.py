"""
A pool looks for its dead twice a second.

celery's looks once when a child's end is told by its closed pipe, and every five seconds. The pipe closes a moment
before the child can be waited for: who was told just then learned of the death, and gave its work to nobody, for up
to five seconds.
"""

from celery.concurrency.asynpool import AsynPool

LOOK_EVERY_S = 0.5
_CELERYS = AsynPool.timers


def install() -> None:
    """Make every pool of this process look more often."""
    AsynPool.timers = property(lambda pool: {**_CELERYS.fget(pool), pool.maintain_pool: LOOK_EVERY_S})
