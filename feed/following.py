"""One trade's price, followed from where its workflow stands: prices in, signals out."""

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import timedelta
from typing import NoReturn

from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from activities.messages import Outage, Tracking, TrackRequest, UnitsMoved
from feed.courier import Courier, Undelivered, backoff_s
from feed.gaps import Gap, Gaps
from feed.late import Recent
from feed.stream import PriceStream
from feed.subscription import Subscription
from feed.tasks import until_one_ends
from feed.tracker import UnitTracker
from feed.trades import Trade
from feed.witness import Owed

CHECK_INTERVAL_S = 30.0
RPC_TIMEOUT = timedelta(seconds=5)

_logger = logging.getLogger(__name__)


class WorkflowGone(Exception):
    """The workflow has ended or never was: nobody is left to tell."""


class Since:
    """Which trades are news to a workflow: a block's trades share one millisecond, so their order decides there."""

    def __init__(self, view: Tracking) -> None:
        self._view = view
        self._last_passed = False

    def is_news(self, trade: Trade) -> bool:
        """Ask once for every trade, in order."""
        if trade.time_ms != self._view.since_ms:
            return trade.time_ms > self._view.since_ms
        if trade.tid == self._view.last_tid:
            self._last_passed = True
            return False
        return self._last_passed


class Following:
    def __init__(
        self,
        client: Client,
        stream: PriceStream,
        request: TrackRequest,
        *,
        owed: Owed,
        seen_ms: int = 0,
        check_interval_s: Callable[[], float] = lambda: CHECK_INTERVAL_S,
        turns: asyncio.Semaphore | None = None,
    ) -> None:
        """`owed` is what the trade is to be told of outages. Up to `seen_ms` somebody followed it, and told all: the
        `seen_ms` of an earlier attempt, 0 for none. `turns` are those of the process's couriers."""
        self._workflow = client.get_workflow_handle(request.workflow_id)
        self._stream = stream
        self._coin = request.coin
        self._check_interval_s = check_interval_s
        self._log = logging.LoggerAdapter(_logger, {"coin": request.coin, "workflow_id": request.workflow_id})
        self._courier = Courier(request.workflow_id, self._signal, self._log, turns)
        self._gaps = Gaps(stream.info_url, lambda: stream.heard(request.coin), self._log, governor=stream.governor)
        self._owed = owed
        self._tracker: UnitTracker | None = None
        self._last: Trade | None = None
        self._recent = Recent()
        self._known_ms = seen_ms
        """No trade up to here is missing."""
        self._seen_ms = seen_ms

    @property
    def line(self) -> int | None:
        """None until the workflow has said where it stands."""
        return self._tracker.line if self._tracker else None

    @property
    def last_tid(self) -> int | None:
        return self._last.tid if self._last else None

    @property
    def seen_ms(self) -> int:
        """Up to here, by the exchange's clock, every price was seen and every unit of it has reached the workflow."""
        if self._courier.idle:
            self._seen_ms = self._known_ms
        return self._seen_ms

    async def run(self) -> NoReturn:
        """Until cancelled. Raises WorkflowGone, and FeedError when the stream has no more trades for the coin."""
        async with self._stream.trades(self._coin) as trades:
            view = await self._ask()
            self._tracker = UnitTracker(view.grid, view.line, self._log)
            self._log.info("Following from line %d of %s", view.line, _words(view))
            self._known_ms = max(self._known_ms, view.since_ms)
            await until_one_ends(
                self._observe(trades, Since(view)),
                self._courier.run(),
                self._check(),
                self._owed.tell(self._tell, self._log),
            )
        raise AssertionError("none of them returns")

    async def all_delivered(self) -> None:
        """Until what completed so far has reached the workflow."""
        await self._courier.all_delivered()
        await self._owed.all_told()

    async def _observe(self, trades: Subscription, since: Since) -> None:
        may_be_after_gap = True
        async for trade in trades:
            may_be_after_gap |= trade.after_gap
            # A workflow at 0 has no past.
            if may_be_after_gap and trade.time_ms > self._known_ms > 0:
                await self._fill(Gap(self._known_ms, trade))
            may_be_after_gap = False
            if since.is_news(trade):
                self._see_in_order(trade)
            self._known_ms = max(self._known_ms, trade.time_ms)

    async def _fill(self, gap: Gap) -> None:
        prices = await self._gaps.prices(gap)
        before = self._courier.carried
        for price in prices:
            self._see(price)
        self._log.info(
            "Prices of %.1f s were not heard: %d read from candles completed units %d times",
            (gap.first.time_ms - gap.after_ms) / 1000,
            len(prices),
            self._courier.carried - before,
        )

    def _see_in_order(self, trade: Trade) -> None:
        assert self._tracker is not None
        if self._last is None or trade.time_ms >= self._last.time_ms:
            self._see(trade)
            return
        mending = self._recent.mending(trade, self._tracker.grid)
        if mending is None:
            self._log.warning("A trade at %s came too late to be counted, of %d ms", trade.price, trade.time_ms)
            return
        for each in mending:
            self._see(each)

    def _see(self, trade: Trade) -> None:
        assert self._tracker is not None
        self._last = trade
        self._recent.add(trade, self._tracker.line)
        if self._tracker.observe(trade.price) is not None:
            self._courier.take(trade)

    async def _check(self) -> None:
        """Every now and then, see whether the workflow still counts as we do; its count is the one that holds."""
        assert self._tracker is not None
        while True:
            await asyncio.sleep(self._check_interval_s() * random.uniform(0.75, 1.25))
            carried = self._courier.carried
            if not self._courier.idle:
                continue
            view = await self._ask()
            # Only what was quiet during the question can be compared with its answer.
            if self._courier.carried == carried and (view.grid, view.line) != (self._tracker.grid, self._tracker.line):
                self._adopt(view)

    def _adopt(self, view: Tracking) -> None:
        assert self._tracker is not None
        self._log.warning(
            "The workflow stands at line %d of %s, not at %d: following from there",
            view.line,
            _words(view),
            self._tracker.line,
        )
        self._tracker.grid, self._tracker.line = view.grid, view.line
        self._recent.clear()
        last = self._last
        if last is not None and Since(view).is_news(last) and self._tracker.observe(last.price) is not None:
            self._courier.take(last)

    async def _ask(self) -> Tracking:
        failures = 0
        while True:
            try:
                view: Tracking = await self._workflow.query("tracking", result_type=Tracking, rpc_timeout=RPC_TIMEOUT)
                return view
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    raise WorkflowGone(str(error)) from error
                reason = f"{error.status.name}: {error}"
            except WorkflowQueryFailedError as error:
                # It is not open yet, or no worker has it.
                reason = str(error)
            failures += 1
            if failures in (1, 10) or failures % 100 == 0:
                self._log.warning("The workflow does not say where it stands (%s): asking again", reason)
            await asyncio.sleep(backoff_s(failures))

    async def _signal(self, moved: UnitsMoved) -> None:
        await self._send("units_moved", moved)

    async def _tell(self, outage: Outage) -> None:
        await self._send("was_away", outage)

    async def _send(self, signal: str, message: UnitsMoved | Outage) -> None:
        try:
            await self._workflow.signal(signal, message, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise WorkflowGone(str(error)) from error
            raise Undelivered(f"{error.status.name}: {error}") from error


def _words(view: Tracking) -> str:
    return f"{view.grid.unit_size:f} USD from {view.grid.anchor_price:f}"
