"""`stop-all` and the answers to a trade in attention, by command line on the real stack."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from cli import portfolios, trades
from cli.errors import CommandFailed
from cli.stopping import stop_trade
from portfolio.terms import PortfolioTerms
from tests.cli.conftest import Finished, hypertrader
from tests.exchange.conftest import Proxy, start_server
from tests.feed.harness import Cable, until, until_async
from tests.stack import Floor
from workflows.asked import Stop
from workflows.contracts import Mode

SPOT_ORDER = {
    "coin": "@107",
    "oid": 7,
    "cloid": None,
    "side": "B",
    "sz": "1.0",
    "limitPx": "0.2",
    "isTrigger": False,
    "triggerPx": "0.0",
    "reduceOnly": False,
}


async def ok(floor: Floor, *words: str) -> Finished:
    finished = await hypertrader(*words, env=floor.environment())
    assert finished.code == 0, finished.err
    return finished


async def stop_all(floor: Floor, *words: str, **env: str) -> tuple[Finished, dict[str, Any]]:
    finished = await hypertrader("stop-all", "--json", *words, env=floor.environment() | env)
    return finished, json.loads(finished.out)


@pytest.fixture
async def tidy(floor: Floor) -> AsyncIterator[Floor]:
    """Nothing of one test meets the next."""
    yield floor
    await floor.control.disarm()
    if await trades.names_running(floor.client):
        await hypertrader("stop-all", env=floor.environment())
    for coin in await trades.names_running(floor.client):
        await ok(floor, "trade", "release", coin)
    finished, _ = await stop_all(floor, "--others-too")
    assert finished.code == 0, finished.err


async def test_stop_all_ends_flat_with_a_proof_and_latches_every_trade(tidy: Floor) -> None:
    floor = tidy
    await floor.open("DOGE", price="0.4", margin=500, unit_size="0.001", leverage=10)
    await floor.open("SOL", price=200, margin=500, unit_size=1, leverage=10)
    await floor.open("SOL", price=200, margin=500, unit_size=2, leverage=10, name="second")
    await ok(floor, "exchange", "buy", "AVAX", "40")

    left, report = await stop_all(floor, "--reason", "fire drill")
    assert left.code == 1 and "+40 AVAX" in left.error and "DOGE" not in left.error
    assert [trade["mode"] for trade in report["trades"]] == ["stopped"] * 3
    assert all(trade["proof"]["looks"] >= 2 for trade in report["trades"])
    [told] = report["durable"]
    assert told["workflow_id"] == "emergency-stop-main"
    assert [each["coin"] for each in told["latch"]["proof"]["left"]["positions"]] == ["AVAX"]

    _, found = await stop_all(floor, "--others-too")
    [account] = found["accounts"]
    assert found["flat"] and not account["held"]["positions"] and not account["held"]["resting"]
    assert json.loads((floor.settings.state_dir / f"stop-all-{found['asked_at_ms']}.json").read_text())["flat"]
    assert (await floor.books())["positions"] == {}

    # A stopped trade holds its coin until a person lets go of it.
    again = await hypertrader(
        *("trade", "start", "SOL", "--margin", "100", "--unit-size", "1", "--yes"), env=floor.environment()
    )
    assert (again.code, again.error[:33]) == (1, "a trade on SOL already runs: see ")
    for coin in ("SOL", "sol-second", "DOGE"):
        assert "without an order" in (await ok(floor, "trade", "release", coin)).out
    report_of = (await ok(floor, "trade", "report", "DOGE")).out
    assert "flat and nothing resting, as the exchange said at" in report_of


async def test_without_a_key_the_account_of_the_trades_is_looked_at(tidy: Floor, tmp_path: Path) -> None:
    elsewhere = {"HYPERTRADER_STATE_DIR": str(tmp_path / "elsewhere")}
    await tidy.open("SOL", price=200, margin=500, unit_size=1, leverage=10)
    await ok(tidy, "exchange", "buy", "AVAX", "40")

    finished, report = await stop_all(tidy, **elsewhere)
    assert finished.code == 1 and "+40 AVAX" in finished.error
    assert [each["account"] for each in report["accounts"]] == [tidy.account]
    assert [trade["mode"] for trade in report["trades"]] == ["stopped"]
    assert [file.name for file in (tmp_path / "elsewhere").iterdir()] == [f"stop-all-{report['asked_at_ms']}.json"]


async def test_a_missing_key_is_said_first_and_the_worker_closes_what_no_trade_holds(
    tidy: Floor, tmp_path: Path
) -> None:
    await tidy.open("SOL", price=200, margin=500, unit_size=1, leverage=10)
    await ok(tidy, "exchange", "buy", "AVAX", "40")
    no_key = f"there is no key in {tmp_path}: name the folder with --state-dir"
    elsewhere = {"HYPERTRADER_STATE_DIR": str(tmp_path), "HYPERTRADER_ACCOUNT": tidy.account}

    finished, report = await stop_all(
        tidy, "--others-too", "--wait-s", "1", **elsewhere, HYPERTRADER_TEMPORAL_ADDRESS="127.0.0.1:9"
    )
    first, *_, last = finished.err.strip().splitlines()
    assert first == f"what no trade holds can be closed by the worker alone: {no_key}"
    assert "+40 AVAX" in last and finished.code == 1
    assert report["accounts"][0]["not_closed"] == {"AVAX": no_key, "SOL": no_key}

    finished, report = await stop_all(tidy, "--others-too", **elsewhere)
    assert finished.code == 0, finished.err
    assert [trade["mode"] for trade in report["trades"]] == ["stopped"]
    assert report["accounts"][0]["not_closed"] == {} and (await tidy.books())["positions"] == {}


async def test_a_portfolio_that_runs_is_latched_and_the_command_says_how_it_is_released(tidy: Floor) -> None:
    terms = PortfolioTerms.model_validate({"shares": {"SOL": "0.4"}})
    await portfolios.begin(tidy.client, "main", terms, tidy.settings)
    try:
        finished, report = await stop_all(tidy, "--reason", "fire drill")
        assert finished.code == 0, finished.err
        [told] = report["durable"]
        assert (told["workflow_id"], told["latch"]["reason"]) == ("portfolio-main", "fire drill")
        assert told["latch"]["proof"]["looks"] >= 2
        assert "begins nothing until `hypertrader portfolio release`" in (await ok(tidy, "stop-all")).out
    finally:
        await tidy.client.get_workflow_handle("portfolio-main").terminate("the test is over")


async def test_with_neither_trade_nor_key_the_account_named_is_looked_at(tidy: Floor, tmp_path: Path) -> None:
    finished, report = await stop_all(tidy, HYPERTRADER_STATE_DIR=str(tmp_path), HYPERTRADER_ACCOUNT=tidy.account)
    assert finished.code == 0 and [each["account"] for each in report["accounts"]] == [tidy.account]

    finished, report = await stop_all(tidy, HYPERTRADER_STATE_DIR=str(tmp_path))
    assert finished.code == 1 and "no account was looked at: no trade names one" in finished.error
    assert not report["flat"] and report["accounts"] == []


async def test_stop_all_waits_for_temporal_and_says_so(tidy: Floor) -> None:
    await tidy.open("SOL", price=200, margin=500, unit_size=1, leverage=10)
    async with Cable(tidy.settings.temporal_address) as cable:
        cable.cut()
        stopping = asyncio.create_task(stop_all(tidy, HYPERTRADER_TEMPORAL_ADDRESS=cable.address))
        await until(lambda: cable.refused >= 2, 30)
        cable.mend()
        finished, report = await stopping
    assert finished.code == 0 and "Temporal does not answer" in finished.err and "trying on" in finished.err
    assert len(finished.err.strip().splitlines()) == 1
    assert [trade["mode"] for trade in report["trades"]] == ["stopped"]


async def test_a_temporal_that_never_answers_is_named_and_the_account_is_looked_at(tidy: Floor) -> None:
    await ok(tidy, "exchange", "buy", "AVAX", "40")
    finished, report = await stop_all(tidy, "--wait-s", "1", HYPERTRADER_TEMPORAL_ADDRESS="127.0.0.1:9")
    assert finished.code == 1
    assert "+40 AVAX; Temporal does not answer at 127.0.0.1:9" in finished.err.splitlines()[-1]
    assert report["trades"] == [] and len(report["troubles"]) == 1


async def test_a_trade_that_opens_meanwhile_is_stopped_too(tidy: Floor) -> None:
    await tidy.open("SOL", price=200, margin=500, unit_size=1, leverage=10)
    # SOL's close takes a while; DOGE is opened in that time.
    await tidy.control.arm("delay", {"action": "order", "coin": "SOL"}, seconds=4, when="before")
    stopping = asyncio.create_task(stop_all(tidy))
    await until_async(lambda: mode_is(tidy, "SOL", Mode.CLOSING))
    await tidy.control.set_price("DOGE", Decimal("0.4"))
    late = trades.start_trade("DOGE", 500, "0.001", leverage=10, yes=True, settings=tidy.settings, client=tidy.client)
    (opened,) = await asyncio.gather(late, return_exceptions=True)
    finished, report = await stopping
    assert finished.code == 0, finished.err
    # Told before it had bought anything, the opening says so and comes to nothing. The workflow that stops may have
    # told it before this command saw it.
    came_to_nothing = isinstance(opened, CommandFailed) and "nothing was bought" in str(opened)
    seen = {trade["coin"]: trade["mode"] for trade in report["trades"]}
    assert seen.pop("SOL") == "stopped"
    assert seen in ([{}, {"DOGE": "opening"}] if came_to_nothing else [{"DOGE": "stopped"}])
    assert not (await tidy.books())["positions"]


async def test_a_trade_that_ended_since_it_was_listed_is_flat_by_its_own_proof(tidy: Floor) -> None:
    trade = await tidy.open("SOL", price=200, margin=500, unit_size=1, leverage=10)
    await trade.close()
    seen = await stop_trade(tidy.client, "SOL", Stop(), time.monotonic() + 30)
    assert (seen.mode, seen.ended, seen.account) == (Mode.CLOSED, True, tidy.account)
    assert seen.proof is not None


async def test_an_opening_that_is_refused_meanwhile_is_not_waited_for(tidy: Floor) -> None:
    await tidy.control.set_price("SOL", Decimal(200))
    await tidy.control.arm("delay", {"info": "metaAndAssetCtxs"}, seconds=3, when="before")
    opening = asyncio.create_task(
        trades.start_trade("SOL", 9_000_000, 1, leverage=10, yes=True, settings=tidy.settings, client=tidy.client)
    )
    await until_async(lambda: is_running(tidy, "SOL"))
    began_s = time.monotonic()
    finished, report = await stop_all(tidy, "--wait-s", "60")
    with pytest.raises(CommandFailed, match="margin is 9000000"):
        await opening
    assert finished.code == 0, finished.err
    assert time.monotonic() - began_s < 30
    [trade] = report["trades"]
    assert (trade["coin"], trade["ended"], trade["proof"]) == ("SOL", True, None)


async def test_a_resting_spot_order_is_left_alone_and_hinders_nothing(tidy: Floor) -> None:
    async with spot_order_resting(tidy) as exchange_url:
        finished, report = await stop_all(tidy, "--others-too", HYPERTRADER_EXCHANGE_URL=exchange_url)
        told = await hypertrader("stop-all", env=tidy.environment() | {"HYPERTRADER_EXCHANGE_URL": exchange_url})
    assert finished.code == 0, finished.err
    assert [order["coin"] for order in report["accounts"][0]["held"]["spot_resting"]] == ["@107"]
    assert "spot orders rest in @107" in told.out


async def test_what_could_not_be_closed_is_said_with_the_reason_and_does_not_keep_the_rest(tidy: Floor) -> None:
    for coin in ("AVAX", "LINK"):
        await ok(tidy, "exchange", "buy", coin, "10")
    await tidy.control.post("depth", {"coin": "AVAX", "levels": 0})
    finished, report = await stop_all(tidy, "--others-too", "--wait-s", "3")
    await tidy.control.post("depth", {"coin": "AVAX", "levels": 20})
    assert finished.code == 1 and "+10 AVAX; AVAX could not be closed: " in finished.error
    [account] = report["accounts"]
    assert [position["coin"] for position in account["held"]["positions"]] == ["AVAX"]
    assert "could not immediately match" in account["not_closed"]["AVAX"]


async def test_lost_answers_do_not_keep_others_from_being_closed(tidy: Floor) -> None:
    await ok(tidy, "exchange", "buy", "AVAX", "40")
    for kind, match in (
        ("status", {"info": "clearinghouseState", "count": 2}),
        ("drop_reply", {"action": "order"}),
        ("html", {"info": "frontendOpenOrders"}),
    ):
        await tidy.control.arm(kind, match, **({"status": 502, "when": "before"} if kind == "status" else {}))
    finished, _ = await stop_all(tidy, "--others-too")
    assert finished.code == 0, finished.err
    assert all(fault["hit"] for fault in await tidy.control.faults())


@asynccontextmanager
async def spot_order_resting(floor: Floor) -> AsyncIterator[str]:
    """The exchange as an account with a resting spot order sees it."""
    proxy = Proxy(floor.settings.exchange_url)

    async def handle(request: web.Request) -> web.StreamResponse:
        answer = await proxy.handle(request)
        asked = proxy.seen[-1]
        if asked.get("type") == "frontendOpenOrders":
            assert isinstance(answer, web.Response) and isinstance(answer.body, bytes)
            return web.json_response([*json.loads(answer.body), SPOT_ORDER])
        return answer

    url, runner = await start_server(handle)
    try:
        yield url
    finally:
        await runner.cleanup()


async def is_running(floor: Floor, coin: str) -> bool:
    return coin in await trades.names_running(floor.client)


async def mode_is(floor: Floor, coin: str, mode: Mode) -> bool:
    return (await trades.any_status(floor.client, coin)).mode is mode


async def test_a_hand_on_the_exchange_is_answered_by_command_line(floor: Floor) -> None:
    trade = await floor.open("SOL", price=200, margin=1000, unit_size=1, leverage=10)
    await ok(floor, "exchange", "sell", "SOL", "20")
    await trade.handle.signal("was_away", {"who": "worker", "from_ms": 1, "to_ms": 1})
    for _ in range(200):
        status = json.loads((await ok(floor, "trade", "status", "SOL", "--json")).out)
        if status["mode"] == "attention":
            break
    assert "by others: sold 20 SOL" in status["attention"]
    assert "ATTENTION" in (await ok(floor, "trade", "status", "SOL")).out
    assert "one order" in (await ok(floor, "trade", "rehedge", "SOL")).out
    assert "exchange and ledger agreed at" in (await ok(floor, "trade", "report", "SOL")).out
    assert "flat" in (await ok(floor, "trade", "close", "SOL")).out
    assert Decimal((await floor.books())["positions"].get("SOL", "0")) == 0
