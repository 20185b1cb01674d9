"""Funding: what each hour costs, whom, and that it is paid once."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import websockets

from simulator.config import SimulatorConfig
from simulator.funding import begin, pay_due
from simulator.funding_rates import HOUR_MS, FundingError, FundingRates, funding_rates
from simulator.ledger import ledger
from simulator.log import RequestLog
from simulator.settlement import trade_position
from simulator.store import ClockState, Store
from simulator.venue import Venue

START_MS = 1_700_000_000_000 // HOUR_MS * HOUR_MS
ADDRESS = "0x" + "0a" * 20


async def test_longs_pay_and_the_money_moves(client: Any) -> None:
    await client.order(True, "2", "3500")
    await client.control("price", coin="ETH", price="3460", oracle="3450.25")
    before = Decimal((await client.state())["marginSummary"]["accountValue"])
    paid = await client.control("funding", coin="ETH", rate="0.0001")
    assert paid == [{"user": client.address, "usd": "-0.69005"}]
    state = await client.state()
    assert Decimal(state["marginSummary"]["accountValue"]) == before - Decimal("0.69005")
    counters = state["assetPositions"][0]["position"]["cumFunding"]
    assert counters == {"allTime": "0.69005", "sinceOpen": "0.69005", "sinceChange": "0.69005"}
    (row,) = await client.info("userFunding", user=client.address, startTime=0)
    delta = {"type": "funding", "coin": "ETH", "usdc": "-0.69005", "szi": "2.0", "fundingRate": "0.0001"}
    assert row["delta"] == delta | {"nSamples": None}
    assert await client.info("userFunding", user=client.address, startTime=row["time"] + 1) == []
    assert (await client.info("fundingHistory", coin="ETH", startTime=0))[-1]["fundingRate"] == "0.0001"
    book = (await client.seen("ledger"))[client.address]
    assert book["fundingUsd"] == "-0.69005" and book["fundingPayments"] == [row]
    assert book["accountValueUsd"] == state["marginSummary"]["accountValue"]


async def test_shorts_are_paid_and_cents_are_cut_not_rounded(client: Any) -> None:
    await client.order(False, "0.0333", "3400")
    paid = await client.control("funding", coin="ETH", rate="0.0000125")
    assert Decimal("0.0333") * 3450 * Decimal("0.0000125") == Decimal("0.0014360625")
    assert paid == [{"user": client.address, "usd": "0.001436"}]
    assert await client.control("funding", coin="BTC", rate="0.01") == []


async def test_isolated_position_pays_from_its_own_margin(client: Any) -> None:
    await client.act({"type": "updateLeverage", "asset": 1, "isCross": False, "leverage": 4})
    await client.order(True, "2", "3500")
    before = await client.state()
    await client.control("funding", coin="ETH", rate="0.01")
    after = await client.state()
    assert after["crossMarginSummary"] == before["crossMarginSummary"]
    margins = [Decimal(state["assetPositions"][0]["position"]["marginUsed"]) for state in (before, after)]
    assert margins[0] - margins[1] == 69


async def test_counters_begin_anew_with_a_change_and_an_opening(client: Any) -> None:
    async def counters() -> Any:
        return (await client.state())["assetPositions"][0]["position"]["cumFunding"]

    await client.order(True, "1", "3500")
    await client.control("funding", coin="ETH", rate="0.001")
    await client.order(True, "1", "3500")
    assert await counters() == {"allTime": "3.45", "sinceOpen": "3.45", "sinceChange": "0.0"}
    await client.order(False, "3", "3400")
    assert await counters() == {"allTime": "3.45", "sinceOpen": "0.0", "sinceChange": "0.0"}
    await client.order(True, "1", "3500")
    await client.order(True, "1", "3500")
    assert (await counters())["allTime"] == "3.45", "also after the account was flat"


async def test_payment_is_streamed(client: Any) -> None:
    await client.order(True, "1", "3500")
    async with websockets.connect(client.sim.ws_url) as connection:
        frames: list[Any] = []

        async def receive() -> Any:
            frames.append(json.loads(await asyncio.wait_for(connection.recv(), 10)))
            return frames[-1]

        for kind in ("userFundings", "userEvents"):
            subscription = f'{{"type":"{kind}","user":"{client.address}"}}'
            await connection.send(f'{{"method":"subscribe","subscription":{subscription}}}')
        while not [frame for frame in frames if frame["channel"] == "subscriptionResponse"][1:]:
            await receive()
        assert frames[1]["data"] == {"isSnapshot": True, "user": client.address, "fundings": []}
        await client.control("funding", coin="ETH", rate="0.001")
        streamed, event = await receive(), await receive()
        (row,) = streamed["data"]["fundings"]
        assert set(row) == {"time", "coin", "usdc", "szi", "fundingRate"} and row["usdc"] == "-3.45"
        assert (streamed["channel"], event["channel"]) == ("userFundings", "user")
        assert event["data"] == {"funding": row}


def venue_at(now_ms: list[int], rate: str = "0.0001") -> Venue:
    """A venue whose market time is what the list says."""
    config = SimulatorConfig(market_time="simulated", funding=FundingRates(Decimal(rate)))
    return Venue(config, simulated_ms=lambda: now_ms[0])


def hold(venue: Venue) -> None:
    """2 ETH long."""
    account = venue.deposit(ADDRESS, Decimal(10_000))
    trade_position(account, "ETH", Decimal(2), Decimal(3450))


def paid_hours(venue: Venue) -> list[int]:
    return [(payment.time_ms - START_MS) // HOUR_MS for payment in venue.fundings_of[ADDRESS]]


def test_each_full_hour_is_paid_once_in_order() -> None:
    now_ms = [START_MS + 10]
    venue = venue_at(now_ms)
    hold(venue)
    begin(venue)
    for passed_ms in (HOUR_MS - 1, HOUR_MS, HOUR_MS + 5, 4 * HOUR_MS + 7, 4 * HOUR_MS + 8):
        now_ms[0] = START_MS + passed_ms
        pay_due(venue)
    assert paid_hours(venue) == [1, 2, 3, 4]
    assert [payment.usd for payment in venue.fundings_of[ADDRESS]] == [Decimal("-0.69")] * 4


def test_restart_pays_no_hour_twice_and_skips_none(tmp_path: Path) -> None:
    now_ms = [START_MS + 10]
    for start, passed_ms in enumerate((HOUR_MS + 1, HOUR_MS + 1, 2 * HOUR_MS + 1, 2 * HOUR_MS + 1)):
        store = Store(tmp_path)
        venue = venue_at(now_ms)
        store.load(venue)
        if start == 0:
            hold(venue)
        begin(venue)
        # Market time of a killed process may have passed the hour before it was paid.
        now_ms[0] = START_MS + passed_ms
        pay_due(venue)
        changes, _ = venue.drain()
        store.save(venue, changes, ClockState(0, 0, False))
        store.close()
    assert paid_hours(venue) == [1, 2]
    assert ledger(venue, RequestLog())[ADDRESS]["fundingUsd"] == "-1.38"


def test_hours_while_the_simulator_was_off_cost_nothing_on_wall_time() -> None:
    venue = Venue(SimulatorConfig(funding=FundingRates(Decimal("0.0001"))))
    hold(venue)
    venue.funded_hour_ms = venue.market_ms() // HOUR_MS * HOUR_MS - 5 * HOUR_MS
    begin(venue)
    pay_due(venue)
    assert venue.fundings_of[ADDRESS] == []


async def test_hour_that_passes_is_paid_while_nothing_else_happens(connect: Any) -> None:
    client = await connect(funding=FundingRates(Decimal("0.0001")), market_time="simulated")
    await client.order(True, "2", "3500")
    await client.control("clock", seek_s=3 * 3600)
    while len(paid := await client.info("userFunding", user=client.address, startTime=0)) < 3:
        pass
    assert {row["delta"]["usdc"] for row in paid} == {"-0.69"}
    _, contexts = await client.info("metaAndAssetCtxs")
    assert (contexts[1]["funding"], contexts[3]["funding"]) == ("0.0001", "0.0")


def test_rates_from_a_file_of_all_coins_and_of_one(tmp_path: Path) -> None:
    everything = tmp_path / "rates.csv"
    everything.write_text(f"time_ms,coin,rate\n{START_MS + 41},ETH,0.0002\n{START_MS + 41},BTC,-0.0001\n")
    rates = funding_rates(str(everything))
    assert [rates.rate(coin, START_MS) for coin in ("ETH", "BTC", "SOL")] == [Decimal("0.0002"), Decimal("-0.0001"), 0]
    assert rates.rate("ETH", START_MS + HOUR_MS) == 0
    one = tmp_path / "one.csv"
    one.write_text(f"ts,rate\n{START_MS},1e-5\n")
    rates = funding_rates(f"ETH={one}")
    assert (rates.rate("ETH", START_MS), rates.rate("BTC", START_MS)) == (Decimal("0.00001"), Decimal(0))
    assert funding_rates("0.0000125").rate("ETH", 0) == Decimal("0.0000125")
    assert funding_rates("none").rate("ETH", 0) == 0


@pytest.mark.parametrize(
    ("text", "content", "said"),
    [
        ("nothing.csv", None, "none, a rate per hour or a file is allowed"),
        ("0.5", None, "from -0.04 to 0.04"),
        ("NaN", None, "from -0.04 to 0.04"),
        ("NOPE={file}", "ts,rate\n", "coin before ="),
        ("{file}", "ts,rate\n1700000000000,0.1\n", "has no coin"),
        ("{file}", "time_ms,coin\n1700000000000,ETH\n", "has no rate"),
        ("{file}", "time_ms,coin,rate\nsoon,ETH,0.0001\n", "row 1 is soon"),
        ("{file}", "time_ms,coin,rate\n1700000000000,ETH,1\n", "from -0.04 to 0.04"),
    ],
)
def test_rates_that_are_none_are_refused_with_what_is_allowed(
    tmp_path: Path, text: str, content: str | None, said: str
) -> None:
    file = tmp_path / "rates.csv"
    if content is not None:
        file.write_text(content)
    with pytest.raises(FundingError, match=said):
        funding_rates(text.format(file=file))
