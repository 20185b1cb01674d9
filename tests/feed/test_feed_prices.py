"""`hypertrader feed prices ETH` against the simulator."""

import asyncio
import io
import logging
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from feed.connection import Timing
from feed.prices import line_of, print_prices
from feed.subscription import UnknownCoin
from feed.tasks import end
from feed.trades import Trade
from settings import Settings
from simulator.paths import PathSource
from simulator.random_walk import DEFAULT_WALKS, RandomWalk
from simulator.server import Simulator, SimulatorConfig
from tests.feed.harness import until

LINE = re.compile(r"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\] ETH Price: \$(\d+(?:\.\d+)?)")


def test_a_line_has_time_in_utc_coin_and_exact_price() -> None:
    at = datetime(2025, 8, 24, 21, 45, 10, 999_000, UTC)
    trade = Trade("ETH", Decimal("3450.25"), Decimal(1), int(at.timestamp() * 1000), 1, 0)
    assert line_of(trade) == "[2025-08-24 21:45:10] ETH Price: $3450.25"


async def test_case_1_prices_keep_coming_for_ten_minutes_through_two_disconnects(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Ten minutes of the exchange's time, 200 times as fast; every price of them, once and in order."""
    walk = RandomWalk(seed=1, walks={"ETH": DEFAULT_WALKS["ETH"]}, step_s=Decimal(5))
    config = SimulatorConfig(price_source=lambda clock: PathSource(walk, clock), speed=200, market_time="simulated")
    async with Simulator(config) as simulator:
        out = io.StringIO()
        settings = Settings(exchange_url=simulator.url)
        printing = asyncio.create_task(
            print_prices("ETH", settings, out=out, timing=Timing(backoff_first_s=0.05, backoff_max_s=0.1))
        )

        def lines() -> list[str]:
            assert not printing.done()
            return out.getvalue().splitlines()

        for enough in (40, 80):
            await until(lambda enough=enough: len(lines()) >= enough)  # type: ignore[misc]
            assert simulator.streams.kick() == 1
        await until(lambda: len(lines()) > 121)
        await end(printing)

    found = [match for line in out.getvalue().splitlines() if (match := LINE.fullmatch(line))]
    assert len(found) == len(out.getvalue().splitlines())
    path = walk.prints_after(0)
    expected = [walk.prices_at(0)["ETH"], *(next(path).price for _ in found[1:])]
    assert [Decimal(match[2]) for match in found] == expected
    times = [datetime.fromisoformat(match[1]) for match in found]
    assert times == sorted(times)
    assert times[-1] - times[0] >= timedelta(minutes=10)
    assert len([message for message in caplog.messages if message == "Price stream connected"]) == 3
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_prices_of_an_unknown_coin_are_refused(simulator: Simulator) -> None:
    with pytest.raises(UnknownCoin, match="coin is NOPE"):
        await print_prices("NOPE", Settings(exchange_url=simulator.url), out=io.StringIO())
