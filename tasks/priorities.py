"""Where the broker keeps a queue's messages: one Redis list per priority, read in this order."""

from kombu.transport.redis import PRIORITY_STEPS, Channel


def kept_under(queue: str) -> list[str]:
    """The Redis keys of a queue's waiting messages, those that go first first."""
    return [queue if step == 0 else f"{queue}{Channel.sep}{step}" for step in PRIORITY_STEPS]
