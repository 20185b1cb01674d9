"""The exchange is away: the public port refuses, is silent, or a gateway answers for it. The control port goes on.

Prices and candles go on too: whoever comes back finds the market elsewhere.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

from aiohttp import web

from simulator.replies import send, status_reply

Mode = Literal["refuse", "hang", "bad_gateway"]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Outage:
    """One public port. Every connection made to it passes `accept`, and every request `gateway`.

    `refuse` aborts new connections, `hang` accepts them and says nothing, `bad_gateway` answers 502 to each request.
    All connections that exist when an outage begins are cut; those that hung are cut when it ends.
    """

    def __init__(self) -> None:
        self.mode: Mode | None = None
        self._server: web.Server | None = None
        self._end: asyncio.TimerHandle | None = None
        self._hanging: set[asyncio.BaseTransport] = set()

    def guard(self, server: web.Server) -> None:
        """The server whose connections an outage cuts."""
        self._server = server

    def begin(self, mode: Mode, seconds: float | None) -> None:
        """From now for so many seconds, or until `end`. A new outage replaces one that is on."""
        self.end()
        self.mode = mode
        if seconds is not None:
            self._end = asyncio.get_running_loop().call_later(seconds, self.end)
        if self._server is not None:
            for connection in self._server.connections:
                if connection.transport is not None:
                    connection.transport.abort()

    def end(self) -> bool:
        """Whether there was one."""
        was_on, self.mode = self.mode is not None, None
        if self._end is not None:
            self._end.cancel()
            self._end = None
        for transport in list(self._hanging):
            transport.abort()  # type: ignore[attr-defined]
        return was_on

    def accept(self) -> asyncio.Protocol:
        """The protocol of a new connection."""
        if self.mode == "refuse":
            return _Refused()
        if self.mode == "hang":
            return _Hanging(self._hanging)
        assert self._server is not None
        return self._server()

    @web.middleware
    async def gateway(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self.mode is not None:
            return await send(request, status_reply(502))
        return await handler(request)


class _Refused(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


class _Hanging(asyncio.Protocol):
    """Takes everything, answers nothing."""

    def __init__(self, hanging: set[asyncio.BaseTransport]) -> None:
        self._hanging = hanging
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._hanging.add(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self._transport is not None:
            self._hanging.discard(self._transport)
