"""
Consumers of events, each a process of its own that keeps a journal: every event as it came, and when (`heard`).

    python -m benchmarks.event_consumers stream URL JOURNAL
    python -m benchmarks.event_consumers kafka BROKERS TOPIC JOURNAL
    python -m benchmarks.event_consumers hooks FOLDER     a server; PORT stands in FOLDER/port, /NAME writes NAME.jsonl

What is posted to `/hanging` is never answered. They run until a signal ends them.
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

import redis
from confluent_kafka import Consumer

from app.outbox.redis_stream import STREAM
from infra import kept

AT_ONCE = 1000
HANGING = "hanging"


def note(journal: BinaryIO, event: bytes) -> None:
    """A torn last line, of a consumer that was ended in the middle, is passed over by readers."""
    journal.write(event[:-1] + b',"heard":%.6f}\n' % time.time())


def stream(url: str, path: str) -> None:
    """Read along from the beginning; a Redis that is away is asked again."""
    client = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=2)
    place = b"0"
    with Path(path).open("ab") as journal:
        while True:
            try:
                answer: Any = client.xread({STREAM: place}, count=AT_ONCE, block=1000)
            except redis.RedisError:
                time.sleep(0.05)
                continue
            for entry, fields in answer[0][1] if answer else []:
                note(journal, fields[b"event"])
                place = entry
            journal.flush()


def kafka(brokers: str, topic: str, path: str) -> None:
    """Read along as a group of one."""
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "journal",
            "auto.offset.reset": "earliest",
            "allow.auto.create.topics": True,
            "session.timeout.ms": 6000,
        }
    )
    # a group that was joined before its topic was there is joined again only after a session has timed out
    while not consumer.list_topics(topic, timeout=5).topics[topic].partitions:
        time.sleep(0.05)
    consumer.subscribe([topic])
    with Path(path).open("ab") as journal:
        while True:
            for message in consumer.consume(AT_ONCE, timeout=0.1):
                if not message.error():
                    note(journal, message.value() or b"")
            journal.flush()


async def hooks(folder: Path) -> None:
    """Receive; what is answered for is in the journal."""
    journals: dict[str, BinaryIO] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                name = head.split(b" ", 2)[1].decode().strip("/")
                fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
                body = await reader.readexactly(int(fields[b"content-length"]))
                if name == HANGING:
                    await asyncio.Event().wait()
                if name not in journals:
                    journals[name] = (folder / f"{name}.jsonl").open("ab")
                note(journals[name], body)
                journals[name].flush()
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, kept.LOOPBACK, 0)
    kept.write(folder / "port", str(server.sockets[0].getsockname()[1]))
    await server.serve_forever()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["stream", url, journal_path]:
            stream(url, journal_path)
        case ["kafka", brokers, topic, journal_path]:
            kafka(brokers, topic, journal_path)
        case ["hooks", folder]:
            asyncio.run(hooks(Path(folder)))
        case _:
            sys.exit(__doc__)
