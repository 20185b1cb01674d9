"""Watching an account: its equity, the money that came and went, and what it risks. Quiet until something is new."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.failures import check_own, told_to_temporal
from activities.messages import AccountIdentity, AccountQuestion, WatchReport, WatchRequest
from exchange.gateway import HyperliquidGateway
from exchange.nonces import wall_ms
from exchange.port import AccountValue
from exchange.spot_port import LedgerUpdate
from portfolio.curve import Curve, seen
from portfolio.risk import Exposure, breaches, warnings
from portfolio.terms import PortfolioLimits
from settings import Settings
from strategy.values import ZERO

GLANCES_EVERY_S = 3.0
"""At equity alone, which weighs little at the exchange."""
LOOKS_EVERY_S = 20.0
"""At the money that came and went too, which weighs much: only then a new high counts."""
REPORTS_EVERY_S = 60.0
DAY_MS = 86_400_000
CONFIRMED_AFTER_S = 1.0
"""A breach is looked at twice: what the exchange shows of a withdrawal may come after the money is gone."""


@dataclass(frozen=True)
class Look:
    """Equity, and all that moved up to then."""

    at_ms: int
    value: AccountValue
    updates: tuple[LedgerUpdate, ...]


async def look_steadily(
    gateway: HyperliquidGateway, updates: Callable[[], Awaitable[tuple[LedgerUpdate, ...]]]
) -> Look:
    """Equity between two equal lists of what moved, so that it has in it what they have."""
    while True:
        before = await updates()
        at_ms = wall_ms()
        value = await gateway.account_value()
        if await updates() == before:
            return Look(at_ms, value, before)


class WatchingActivities:
    """Bound to one account; the work of another one is for another worker."""

    def __init__(self, gateway: HyperliquidGateway, settings: Settings) -> None:
        self._gateway = gateway
        self._settings = settings

    @activity.defn
    async def identify_account(self, network: str) -> AccountIdentity:
        """Whose account this worker serves, and from where on its money is followed."""
        check_own((network, self._gateway.account), (self._settings.network, self._gateway.account))
        async with told_to_temporal():
            await self._gateway.check_account_mode()
            since_ms = wall_ms() - DAY_MS
            look = await look_steadily(self._gateway, partial(self._gateway.spot.ledger_updates, since_ms=since_ms))
        ledger_ms = max((each.time_ms for each in look.updates), default=since_ms)
        return AccountIdentity(
            account=self._gateway.account,
            signer=self._gateway.signer,
            equity_usd=look.value.equity_usd,
            ledger_ms=ledger_ms,
            ledger_hashes=tuple(each.hash for each in look.updates if each.time_ms == ledger_ms),
        )

    @activity.defn
    async def account_value(self, question: AccountQuestion) -> AccountValue:
        """Equity, free margin and positions as they are now."""
        check_own((question.network, question.account), (self._settings.network, self._gateway.account))
        async with told_to_temporal():
            return await self._gateway.account_value()

    @activity.defn
    async def watch_account(self, request: WatchRequest) -> WatchReport:
        """Look until something is new, a minute is over or it is told to come back. Of an attempt that was cut off the
        next one knows how far it was."""
        check_own((request.network, request.account), (self._settings.network, self._gateway.account))
        details = activity.info().heartbeat_details
        watch = _Watch(self._gateway, request, Curve.model_validate(details[0]) if details else request.curve)
        async with told_to_temporal():
            return await _unless_stopping(watch)


async def _unless_stopping(watch: "_Watch") -> WatchReport:
    """Cancelled, it comes back with what it saw last. A worker that is told to stop leaves the watch to another one at
    once: raises ApplicationError, to be retried."""
    work = asyncio.create_task(watch.until_something())
    stopping = asyncio.create_task(activity.wait_for_worker_shutdown())
    try:
        try:
            await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if watch.last is None:
                raise
            return watch.last
        if work.done():
            return work.result()
        raise ApplicationError("this worker stops: another one watches on", type="Stopping")
    finally:
        work.cancel()
        stopping.cancel()


class _Watch:
    def __init__(self, gateway: HyperliquidGateway, request: WatchRequest, curve: Curve) -> None:
        self._gateway = gateway
        self._request = request
        self._limits: PortfolioLimits = request.limits
        self._curve = curve
        self.last: WatchReport | None = None

    async def until_something(self) -> WatchReport:
        ends_s = time.monotonic() + (0 if self._request.at_once else REPORTS_EVERY_S)
        while True:
            report = self.last = await self._looked()
            if report.is_news or time.monotonic() >= ends_s:
                return report
            await self._glance_until(min(time.monotonic() + LOOKS_EVERY_S, ends_s))

    async def _looked(self) -> WatchReport:
        before = self._curve
        look = await self._look()
        report = await self._report(before, look)
        if report.new_breaches:
            await asyncio.sleep(CONFIRMED_AFTER_S)
            report = await self._report(before, await self._look())
        if not report.updates:
            # With them it is told at once; an attempt that is cut off before counts them anew.
            self._curve = report.curve
            self._beat()
        return report

    async def _look(self) -> Look:
        self._beat()
        return await look_steadily(self._gateway, self._updates)

    def _beat(self) -> None:
        activity.heartbeat(self._curve.model_dump(mode="json"))

    async def _updates(self) -> tuple[LedgerUpdate, ...]:
        """Those that are not counted yet."""
        request = self._request
        found = await self._gateway.spot.ledger_updates(since_ms=request.ledger_ms)
        return tuple(
            each for each in found if each.time_ms > request.ledger_ms or each.hash not in request.ledger_hashes
        )

    async def _report(self, before: Curve, look: Look) -> WatchReport:
        paid_in = sum((each.perp_usd or ZERO for each in look.updates), ZERO)
        curve = seen(before, look.value.equity_usd, paid_in)
        exposure = await self._exposure(look.value)
        return WatchReport(
            at_ms=look.at_ms,
            curve=curve,
            exposure=exposure,
            breaches=breaches(self._limits, curve, exposure),
            warnings=warnings(self._limits, before, curve),
            updates=look.updates,
            known=self._request.known,
        )

    async def _exposure(self, value: AccountValue) -> Exposure:
        """What has no limit is not asked for."""
        limits = self._limits
        open_orders = len(await self._gateway.open_orders()) if limits.max_open_orders is not None else 0
        budget = await self._gateway.address_budget() if limits.min_requests_left is not None else None
        return Exposure(
            equity_usd=value.equity_usd,
            net_notional_usd=value.net_notional_usd,
            open_orders=open_orders,
            requests_left=None if budget is None else budget.left,
        )

    async def _glance_until(self, until_s: float) -> None:
        """Or until equity looks as if a limit were broken: money that left may be why."""
        while (left_s := until_s - time.monotonic()) > 0:
            await asyncio.sleep(min(GLANCES_EVERY_S, left_s))
            value = await self._gateway.account_value()
            self._beat()
            if self._is_alarming(value):
                return

    def _is_alarming(self, value: AccountValue) -> bool:
        """By what a glance shows, as if no money had moved."""
        curve = seen(self._curve, value.equity_usd)
        exposure = Exposure(equity_usd=value.equity_usd, net_notional_usd=value.net_notional_usd)
        broken = {each.limit for each in breaches(self._limits, curve, exposure)}
        return not broken.issubset(self._request.known) or bool(warnings(self._limits, self._curve, curve))
