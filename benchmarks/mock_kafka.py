"""librdkafka's mock cluster: `python -m benchmarks.mock_kafka FILE` writes its addresses there and serves."""

import signal
import sys
from pathlib import Path

from confluent_kafka import Producer

from infra import kept


def main() -> None:
    """Serve until a signal ends it."""
    client = Producer({"test.mock.num.brokers": 3, "bootstrap.servers": "mock", "log_level": 2})
    found = client.list_topics(timeout=10).brokers.values()
    kept.write(Path(sys.argv[1]), ",".join(f"{broker.host}:{broker.port}" for broker in found))
    signal.pause()


if __name__ == "__main__":
    main()
