"""One WebSocket client: its frames leave in order through one writer, and may be withheld by a fault."""

import asyncio
import math

from aiohttp import web

from simulator.subscriptions import Key, Subscription

QUEUED_MAX = 50_000
"""Frames a reader may be behind before it is cut off."""


class Connection:
    """A connection that was sent no frame for a while is closed, unless a fault mutes it: then it just stays quiet."""

    def __init__(self, socket: web.WebSocketResponse, idle_close_s: float, transport: asyncio.Transport | None) -> None:
        self.socket = socket
        self.transport = transport
        self.subscriptions: dict[Key, Subscription] = {}
        self._idle_close_s = idle_close_s
        self._outbox: asyncio.Queue[bytes] = asyncio.Queue(QUEUED_MAX)
        self._mute_until_s = 0.0
        """On the loop's clock."""

    @property
    def is_mute(self) -> bool:
        return asyncio.get_running_loop().time() < self._mute_until_s

    @property
    def is_silent(self) -> bool:
        """For ever."""
        return self._mute_until_s == math.inf

    def send(self, message: bytes, *, times: int = 1) -> None:
        """A frame for a mute connection is lost."""
        if self.is_mute:
            return
        try:
            for _ in range(times):
                self._outbox.put_nowait(message)
        except asyncio.QueueFull:
            self.kill()

    def stall(self, seconds: float) -> None:
        """Send nothing for so long from now, whatever an earlier stall said; what there was to send is lost."""
        if not self.is_silent:
            self._mute_until_s = asyncio.get_running_loop().time() + seconds

    def go_silent(self) -> None:
        """Stop sending and reading for ever, without closing: the other end sees a connection that is just quiet."""
        self._mute_until_s = math.inf
        if self.transport is not None:
            self.transport.pause_reading()

    def kill(self) -> None:
        """Cut the connection without a close frame."""
        if self.transport is not None:
            self.transport.abort()

    async def write(self) -> None:
        """Runs until the connection ends or has been quiet for too long."""
        while True:
            try:
                message = await asyncio.wait_for(self._outbox.get(), self._idle_close_s)
            except TimeoutError:
                if self.is_mute:
                    continue
                await self.socket.close(message=b"Inactive")
                return
            try:
                await self.socket.send_str(message.decode())
            except ConnectionResetError:
                return
