"""One WebSocket to the exchange, from its opening to its end: subscriptions kept, silence noticed, frames read.

The exchange closes the socket, without a word, when a coin is subscribed that it does not list: all other coins go
down with it. So a coin nobody vouches for is asked for alone, and if the socket ends meanwhile, it is the suspect.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection

from feed.tasks import until_one_ends
from feed.trades import Trade, trades_of
from feed.witness import OUTAGE_MIN_S

PING = '{"method":"ping"}'

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Timing:
    """How a stream paces itself. The exchange closes sockets it has sent nothing for 60 s, and allows 30 new ones a
    minute and 2,000 messages a minute."""

    ping_interval_s: float = 1.0
    deaf_after_s: float = OUTAGE_MIN_S
    """A ping without an answer for so long, though the connection lives: frames of that time may be lost."""
    stale_after_s: float = 6.0
    """Not even a pong for so long: the connection is dead."""
    quiet_coin_s: float = 60.0
    """No trade of a coin for so long: it is subscribed anew, which brings back what was lost of it."""
    confirm_timeout_s: float = 5.0
    open_timeout_s: float = 10.0
    backoff_first_s: float = 0.25
    backoff_max_s: float = 10.0
    stable_after_s: float = 30.0
    """A connection that lasted so long resets the backoff."""
    linger_s: float = 900.0
    """A coin nobody follows any more stays subscribed, on a tape: who follows it again misses nothing in between. While
    Temporal is down nobody does."""


class Connection:
    def __init__(
        self,
        socket: ClientConnection,
        timing: Timing,
        wanted: Callable[[], Collection[str]],
        trusted: set[str],
        on_alive: Callable[[], None],
        on_trades: Callable[[list[Trade]], None],
        on_refused: Callable[[str], None],
    ) -> None:
        """`wanted` are the coins to have now, `trusted` those the exchange is known to list; a coin it confirms is
        added to them. `on_alive` is called with each message; `on_refused` gets a coin whose subscription the exchange
        calls invalid."""
        self._socket = socket
        self._timing = timing
        self._wanted = wanted
        self._trusted = trusted
        self._on_alive = on_alive
        self._on_trades = on_trades
        self._on_refused = on_refused
        self._asked: set[str] = set()
        self.confirmed: set[str] = set()
        self.suspect: str | None = None
        """The unproven coin that was asked for last and has no answer yet."""
        self.silent_at: float | None = None
        """Since when nothing came, if that is why it ends."""
        self.last_message_at = time.monotonic()
        self._pinged_at: float | None = None
        """The first ping that nothing came after."""
        self._heard_at: dict[str, float] = {}
        self._changed = asyncio.Event()
        self._answered = asyncio.Event()
        self._alive = asyncio.Event()
        self._complained_of: set[str] = set()

    @property
    def unanswered(self) -> set[str]:
        return self._asked - self.confirmed

    def wanted_changed(self) -> None:
        self._changed.set()

    async def serve(self) -> None:
        """Until the socket ends or goes silent. Raises websockets' ConnectionClosed unless it ended in good order."""
        await until_one_ends(self._read(), self._keep_alive(), self._keep_subscribed())

    async def _read(self) -> None:
        async for frame in self._socket:
            now = time.monotonic()
            if self._pinged_at is not None and now - self._pinged_at >= self._timing.deaf_after_s:
                # A new connection brings the last trades again, this one might never.
                self.silent_at = self.last_message_at
                _log.warning("No answer to a ping for %.1f s: connecting anew", now - self._pinged_at)
                return
            self.last_message_at, self._pinged_at = now, None
            self._on_alive()
            self._alive.set()
            self._take(frame, time.time_ns())

    def _take(self, frame: str | bytes, received_ns: int) -> None:
        try:
            message = json.loads(frame)
            channel = message["channel"]
            data = message.get("data")
            if channel == "trades":
                self._take_trades(trades_of(data, received_ns))
            elif channel == "subscriptionResponse" and data["method"] == "subscribe":
                self._confirm(data["subscription"]["coin"])
            elif channel == "error":
                self._take_error(str(data))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._complain("a frame that is not understood", f"{type(error).__name__}: {error}; frame {frame[:200]!r}")

    def _take_trades(self, trades: list[Trade]) -> None:
        for trade in trades:
            self._heard_at[trade.coin] = self.last_message_at
        self._on_trades(trades)

    def _take_error(self, text: str) -> None:
        kind, _, rest = text.partition(":")
        if kind == "Already subscribed":
            self._confirm(json.loads(rest)["coin"])
        elif kind.startswith("Invalid subscription"):
            coin = json.loads(text.removeprefix("Invalid subscription").lstrip(" :"))["coin"]
            self._asked.discard(coin)
            self._answered.set()
            self._on_refused(coin)
        elif kind != "Already unsubscribed":
            self._complain(kind, text)

    def _confirm(self, coin: str) -> None:
        self.confirmed.add(coin)
        self._trusted.add(coin)
        self._heard_at[coin] = time.monotonic()
        self._answered.set()

    def _complain(self, kind: str, text: str) -> None:
        """Once a kind and connection: a stream of bad frames must not become a stream of log lines."""
        if kind not in self._complained_of:
            self._complained_of.add(kind)
            _log.warning("The exchange sent %s (further ones are not logged): %s", kind, text)

    async def _keep_alive(self) -> None:
        timing = self._timing
        pinged_at = time.monotonic()
        while True:
            now = time.monotonic()
            silent_at = self.last_message_at + timing.stale_after_s
            if now >= silent_at:
                self.silent_at = self.last_message_at
                _log.warning("No message for %.1f s, not even a pong: connecting anew", now - self.last_message_at)
                return
            if now >= pinged_at + timing.ping_interval_s:
                pinged_at = now
                self._pinged_at = self._pinged_at or now
                await self._socket.send(PING)
                await self._ask_for_quiet_coins(now)
            await asyncio.sleep(min(pinged_at + timing.ping_interval_s, silent_at) - now)

    async def _ask_for_quiet_coins(self, now: float) -> None:
        for coin in self._asked & set(self._wanted()):
            if now - self._heard_at[coin] >= self._timing.quiet_coin_s:
                self._heard_at[coin] = now
                await self._send("unsubscribe", coin)
                await self._send("subscribe", coin)

    async def _keep_subscribed(self) -> None:
        while True:
            self._changed.clear()
            wanted = set(self._wanted())
            for coin in self._asked - wanted:
                self._asked.discard(coin)
                self.confirmed.discard(coin)
                await self._send("unsubscribe", coin)
            missing = wanted - self._asked
            for coin in sorted(missing, key=lambda coin: (coin not in self._trusted, coin)):
                await self._ask(coin)
            await self._changed.wait()

    async def _ask(self, coin: str) -> None:
        proven = coin in self._trusted
        self._asked.add(coin)
        self._heard_at[coin] = time.monotonic()
        if proven:
            await self._send("subscribe", coin)
            return
        if not self._alive.is_set():
            # An exchange that is going down cuts connections for no fault of a coin: first see that this one lives.
            await self._socket.send(PING)
            await self._alive.wait()
        self.suspect = coin
        await self._send("subscribe", coin)
        try:
            async with asyncio.timeout(self._timing.confirm_timeout_s):
                while coin in self.unanswered:
                    self._answered.clear()
                    await self._answered.wait()
        except TimeoutError:
            _log.warning("No answer to the subscription in %s s", self._timing.confirm_timeout_s, extra={"coin": coin})
        self.suspect = None

    async def _send(self, method: str, coin: str) -> None:
        await self._socket.send(json.dumps({"method": method, "subscription": {"type": "trades", "coin": coin}}))
