"""Who is told of every boundary, and strikes at those that are armed.

A process that reaches a boundary asks over a local socket and stands still until it is answered. At the armed one the
conductor strikes first: whoever is to die is dead before the answer.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ASKER = "asker"
"""As a victim: whichever process reached the boundary."""
How = Literal["kill", "pause", "hand", "price"]
"""The last two: nobody goes down, but somebody else trades, or the price completes a unit, while whoever reached the
boundary stands still there."""


@dataclass(frozen=True)
class Blow:
    """What happens at the `nth` time from its arming on that anybody reaches the boundary.

    `exchange.X.accepted` is reached when X is on the wire and the exchange has executed it; the reply is not read.
    """

    boundary: str
    victims: tuple[str, ...] = (ASKER,)
    how: How = "kill"
    nth: int = 1

    @property
    def asked_at(self) -> str:
        """The boundary that a process asks at."""
        return f"{self.boundary.removesuffix('.accepted')}.sent" if self.waits_for_exchange else self.boundary

    @property
    def waits_for_exchange(self) -> bool:
        return self.boundary.endswith(".accepted")


Strike = Callable[[Blow, str], Awaitable[None]]
"""Given the blow and the name of the process that asked. Returns when the victims are down."""


class Conductor:
    """`async with`; armed blows fall one after the other, each counting from when the one before fell."""

    def __init__(self, path: Path, strike: Strike) -> None:
        self.path = path
        self.seen: Counter[str] = Counter()
        """How often each boundary was reached since the last `arm`."""
        self.last_blow_s = 0.0
        """When the last one fell, by `time.monotonic`; 0 before that."""
        self._strike = strike
        self._armed: deque[Blow] = deque()
        self._count = 0
        self._striking = False
        self._fallen = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Conductor":
        self._server = await asyncio.start_unix_server(self._talk, str(self.path))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    def arm(self, *blows: Blow) -> None:
        """In place of those that have not fallen."""
        self.seen.clear()
        self._armed, self._count, self.last_blow_s = deque(blows), 0, 0.0
        self._fallen.clear()
        if not blows:
            self._fallen.set()

    @property
    def left(self) -> tuple[Blow, ...]:
        """Blows that have not fallen yet."""
        return tuple(self._armed)

    async def all_fallen(self) -> None:
        await self._fallen.wait()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talks.add(task)
        try:
            name = (await reader.readline()).decode().strip()
            while line := await reader.readline():
                await self._reached(line.decode().strip(), name)
                writer.write(b"\n")
        except ConnectionError:
            # It was killed while it asked.
            return
        finally:
            self._talks.discard(task)
            writer.close()

    async def _reached(self, boundary: str, name: str) -> None:
        self.seen[boundary] += 1
        if self._striking or not self._armed or self._armed[0].asked_at != boundary:
            return
        self._count += 1
        if self._count < self._armed[0].nth:
            return
        armed, self._striking = self._armed, True
        try:
            await self._strike(armed[0], name)
        finally:
            self._striking = False
        if armed is not self._armed:
            return  # Others were armed meanwhile.
        armed.popleft()
        self._count = 0
        self.last_blow_s = time.monotonic()
        if not self._armed:
            self._fallen.set()
