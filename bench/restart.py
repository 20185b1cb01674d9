"""kill -9 of the worker with many open trades: how long until each is looked after again.

The whole stack with one trade on each coin. The worker is killed, and while it is gone every price completes a unit.
Printed, over all trades and rounds, in seconds from the kill: until the trade has been compared with the exchange
anew, until the order for that unit was at the simulator, and until both.

    python -m bench.restart [--trades 20] [--rounds 5] [--events 0]

`--events 200` lets each history grow that long first (it is renewed at 250): a worker started anew reads all of them.
"""

import argparse
import asyncio
import math
import tempfile
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from cli import trades
from cli.paper import control_of, paper_account, wait_until_followed
from cli.ports import Ports
from cli.processes import STEADY_AFTER_S
from cli.stack import Stack
from cli.venue import ControlApi
from settings import Settings
from simulator.markets import MARKETS, Market
from workflows.asked import workflow_id
from workflows.status import TradeStatus

TRADES, ROUNDS = 20, 5
MARGIN_USD, LEVERAGE = 1000, 5
UNIT_SHARE = Decimal("0.005")
"""A unit, as a part of the price."""
OPENED_AT_ONCE = 4
DEADLINE_S = 60.0
POLL_S = 0.05
AGED_EVERY_S = 1.0


class Subject:
    """One open trade. Its price goes a unit down and up again: each completes a unit, and makes an order."""

    def __init__(self, market: Market, opened: TradeStatus) -> None:
        assert opened.anchor_price is not None
        self.market = market
        self._high = market.tick_above(opened.anchor_price)
        self._low = market.tick_below(opened.anchor_price - opened.unit_size)

    def price(self, *, down: bool) -> Decimal:
        return self._low if down else self._high


def tradable(count: int) -> list[Market]:
    """The first so many coins a trade may be on."""
    markets = [market for market in MARKETS if not (market.delisted or market.only_isolated)][:count]
    if len(markets) < count:
        raise SystemExit(f"{count} trades were asked for; the simulator has {len(markets)} coins for them")
    return markets


async def opened(stack: Stack, markets: Sequence[Market]) -> list[Subject]:
    """A trade on each of these, followed."""
    control = control_of(stack)
    await control.fund(paper_account(stack.settings), Decimal(2 * MARGIN_USD * len(markets)))
    gate = asyncio.Semaphore(OPENED_AT_ONCE)

    async def open_one(market: Market) -> Subject:
        async with gate:
            await control.set_price(market.coin, market.reference_price)
            unit = market.round_price(market.reference_price * UNIT_SHARE)
            found = await trades.start_trade(
                market.coin, MARGIN_USD, unit, leverage=LEVERAGE, yes=True, settings=stack.settings, client=stack.client
            )
            await wait_until_followed(stack.client, control, market.coin)
            return Subject(market, found)

    return list(await asyncio.gather(*(open_one(market) for market in markets)))


async def age(stack: Stack, subjects: Sequence[Subject], events: int) -> None:
    """Whole units, down and up, until every history is that long."""
    control = control_of(stack)

    async def age_one(each: Subject) -> None:
        run = stack.client.get_workflow_handle(workflow_id(each.market.coin))
        while (await run.describe()).history_length < events:
            for down in (True, False):
                await control.set_price(each.market.coin, each.price(down=down))
                await asyncio.sleep(AGED_EVERY_S)

    await asyncio.gather(*(age_one(each) for each in subjects))


async def kill(stack: Stack, subjects: list[Subject], *, down: bool) -> list[tuple[float, float]]:
    """Per trade, seconds until it was compared with the exchange and until its order was there."""
    control = control_of(stack)
    killed_ms = time.time_ns() // 1_000_000
    stack.children["worker"].kill()
    await asyncio.gather(*(control.set_price(each.market.coin, each.price(down=down)) for each in subjects))
    deadline = time.monotonic() + DEADLINE_S
    ordered: dict[str, int] = {}
    while len(ordered) < len(subjects) and time.monotonic() < deadline:
        await asyncio.sleep(POLL_S)
        ordered = await orders_since(control, killed_ms)
    found = []
    for each in subjects:
        coin = each.market.coin
        if coin not in ordered:
            raise SystemExit(f"{coin} made no order within {DEADLINE_S:.0f} s of the kill")
        while (agreed_ms := (await trades.status(stack.client, coin)).agreed_ms) < killed_ms:
            if time.monotonic() > deadline:
                raise SystemExit(f"{coin} was not compared with the exchange within {DEADLINE_S:.0f} s of the kill")
            await asyncio.sleep(POLL_S)
        found.append(((agreed_ms - killed_ms) / 1000, (ordered[coin] - killed_ms) / 1000))
    return found


async def orders_since(control: ControlApi, since_ms: int) -> dict[str, int]:
    """When the simulator took the first order of each coin."""
    coins = {market.asset: market.coin for market in MARKETS}
    found: dict[str, int] = {}
    for request in await control.requests(type="order", since_ms=str(since_ms)):
        if request["verdict"].startswith("ok"):
            coin = coins[request["body"]["action"]["orders"][0]["a"]]
            found.setdefault(coin, request["received_ms"])
    return found


async def measure(count: int, rounds: int, events: int, folder: Path) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    async with Stack(Settings(state_dir=folder), Ports.free(), simulator_options=["--still"]) as stack:
        subjects = await opened(stack, tradable(count))
        print(f"{count} trades are open")
        await age(stack, subjects, events)
        for number in range(rounds):
            await asyncio.sleep(STEADY_AFTER_S + 1)
            times = await kill(stack, subjects, down=number % 2 == 0)
            print(f"kill {number + 1}: the last trade after {max(max(pair) for pair in times):.2f} s")
            found += times
    return found


def rank(values: Sequence[float], share: int) -> float:
    """The smallest of them that so many percent do not exceed: with a few kills, nothing is guessed beyond them."""
    return sorted(values)[math.ceil(len(values) * share / 100) - 1]


def main() -> None:
    parser = argparse.ArgumentParser(description="how long a killed worker's trades wait")
    parser.add_argument("--trades", type=int, default=TRADES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--events", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hypertrader-bench-") as folder:
        found = asyncio.run(measure(asked.trades, asked.rounds, asked.events, Path(folder)))
    print(f"from kill -9 of the worker, seconds, {asked.trades} trades, {asked.rounds} kills")
    print(f"{'':28} {'p50':>8} {'p99':>8} {'max':>8}")
    compared, ordered = [pair[0] for pair in found], [pair[1] for pair in found]
    for name, values in (
        ("compared with the exchange", compared),
        ("order of a unit sent", ordered),
        ("both", [max(pair) for pair in found]),
    ):
        print(f"{name:28} {rank(values, 50):8.2f} {rank(values, 99):8.2f} {max(values):8.2f}")


if __name__ == "__main__":
    main()
