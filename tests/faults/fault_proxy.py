"""A TCP proxy that breaks connections: between a process of ours and what it talks to."""

import asyncio
import threading
from contextlib import suppress
from enum import StrEnum

SLOW_S = 0.05


class Mode(StrEnum):
    PASS = "pass"
    RESET = "reset"  # each connection is cut as soon as something passes
    HALF_OPEN = "half-open"  # connections stand, nothing passes, nobody is told
    SLOW = "slow"  # each piece comes a twentieth of a second later


class Proxy:
    """Listens on loopback in a thread of its own, until closed."""

    def __init__(self, port: int) -> None:
        self.mode = Mode.PASS
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()

    def switch(self, mode: Mode) -> None:
        """Change the mode; what was swallowed meanwhile stays lost, so those connections end when it passes again."""
        ending = self.mode is Mode.HALF_OPEN
        self.mode = mode
        if ending or mode is Mode.RESET:
            self._loop.call_soon_threadsafe(self._cut_all)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _cut_all(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode is Mode.RESET:
            writer.transport.abort()
            return
        try:
            there = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, there[1]}
        await asyncio.gather(self._pump(reader, there[1]), self._pump(there[0], writer))
        self._open -= {writer, there[1]}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(1 << 16):
                if self.mode is Mode.HALF_OPEN:
                    continue
                if self.mode is Mode.SLOW:
                    await asyncio.sleep(SLOW_S)
                writer.write(piece)
                await writer.drain()
        writer.close()
