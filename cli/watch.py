"""Following a trade: a live screen on a terminal, a line per change elsewhere."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from typing import Protocol

import typer
from rich.console import RenderableType
from rich.live import Live
from temporalio.client import Client

from cli import screen
from cli.common import console
from cli.errors import CommandFailed
from cli.names import coin_in
from cli.trades import is_running, status
from feed.endpoints import price_endpoints
from feed.stream import PriceStream
from settings import Settings
from workflows.contracts import Mode
from workflows.status import TradeStatus

REFRESH_S = 0.5


def on_interrupt() -> asyncio.Event:
    """Set at Ctrl-C, SIGTERM, or when the terminal goes away."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def watch(
    client: Client,
    trade: str,
    settings: Settings,
    stop: asyncio.Event,
    *,
    web_url: str | None = None,
    next_too: bool = False,
) -> None:
    """Returns when the trade has ended or `stop` is set; with `next_too` the next one of its name is followed as well.
    Whoever does not answer is waited for."""
    coin = coin_in(trade)
    hint = f"closed; `hypertrader trade start {coin} ...` opens the next, Ctrl-C stops" if next_too else None
    with _view(web_url) as view:
        async with _last_price(coin, settings) as price:
            closed = False
            while not stop.is_set():
                try:
                    if not closed or await is_running(client, trade):
                        seen = await status(client, trade)
                        # A start may still be refused: until then the last trade stays in the picture.
                        if not (closed and seen.mode is Mode.OPENING):
                            closed = seen.mode is Mode.CLOSED
                            view.show(seen, price.now, hint if closed else None)
                except CommandFailed as error:
                    view.say(f"waiting: {error}")
                if closed and not next_too:
                    return
                await pause(stop, REFRESH_S)


async def follow(picture: Callable[[], Awaitable[tuple[RenderableType, str]]], stop: asyncio.Event) -> None:
    """Show it until `stop` is set: the picture on a terminal, elsewhere its line whenever that changes."""
    said: str | None = None
    with Live(console=console, auto_refresh=False) if console.is_terminal else contextlib.nullcontext() as live:
        while not stop.is_set():
            try:
                seen, line = await picture()
            except CommandFailed as error:
                seen = line = f"waiting: {error}"
            if live is not None:
                live.update(seen, refresh=True)
            elif line != said:
                typer.echo(line)
            said = line
            await pause(stop, REFRESH_S)


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Sleep, but not past `stop`."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


class _Price:
    """The exchange's last trade; None until one is seen, when the screen shows the last price the trade knows."""

    now: Decimal | None = None

    async def follow(self, stream: PriceStream, coin: str) -> None:
        async with stream.trades(coin) as trades:
            async for trade in trades:
                self.now = trade.price


@asynccontextmanager
async def _last_price(coin: str, settings: Settings) -> AsyncIterator[_Price]:
    # A stream that is down says so at every try; on the screen the missing price says it.
    logging.getLogger("feed").setLevel(logging.ERROR)
    price, endpoints = _Price(), price_endpoints(settings)
    async with PriceStream(endpoints.ws_url, info_url=endpoints.info_url) as stream:
        following = asyncio.create_task(price.follow(stream, coin))
        try:
            yield price
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following


class _View(Protocol):
    def show(self, seen: TradeStatus, price: Decimal | None, hint: str | None) -> None: ...
    def say(self, text: str) -> None: ...
    def __enter__(self) -> "_View": ...
    def __exit__(self, *_: object) -> None: ...


def _view(web_url: str | None) -> _View:
    return _Screen(web_url) if console.is_terminal else _Lines()


class _Screen:
    def __init__(self, web_url: str | None) -> None:
        self._web_url = web_url
        self._said: str | None = None
        self._live = Live(console=console, auto_refresh=False)
        self._around = contextlib.ExitStack()

    def show(self, seen: TradeStatus, price: Decimal | None, hint: str | None) -> None:
        self._said = None
        self._live.update(screen.screen(seen, price, self._web_url, hint), refresh=True)

    def say(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._live.console.print(text, markup=False)

    def __enter__(self) -> "_View":
        self._around.enter_context(self._live)
        self._around.enter_context(_logs_above_the_picture())
        return self

    def __exit__(self, *_: object) -> None:
        self._around.close()


@contextmanager
def _logs_above_the_picture() -> Iterator[None]:
    """While a Live runs, sys.stderr is one that prints above it; logging still writes to the one it was set up with."""
    handlers = [it for it in logging.root.handlers if isinstance(it, logging.StreamHandler) and it.stream.isatty()]
    streams = [handler.setStream(sys.stderr) for handler in handlers]
    try:
        yield
    finally:
        for handler, stream in zip(handlers, streams, strict=True):
            if stream is not None:
                handler.setStream(stream)


class _Lines:
    def __init__(self) -> None:
        self._said: object = None

    def show(self, seen: TradeStatus, price: Decimal | None, hint: str | None) -> None:
        last = seen.last_orders[-1].cloid if seen.last_orders else None
        change = (seen.mode, seen.phase, seen.unit, seen.cycle, last, seen.attention)
        if change != self._said:
            self._said = change
            typer.echo(screen.line(seen, price))
            if hint:
                typer.echo(hint)

    def say(self, text: str) -> None:
        if text != self._said:
            self._said = text
            typer.echo(text)

    def __enter__(self) -> "_View":
        return self

    def __exit__(self, *_: object) -> None:
        return
