"""The commands of a running stack, as a person or a program uses them."""

import asyncio
import json
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from cli.watch import watch
from tests.cli.conftest import Finished, hypertrader
from tests.stack import Floor


async def ok(floor: Floor, *words: str) -> Finished:
    finished = await hypertrader(*words, env=floor.environment())
    assert finished.code == 0, finished.err
    return finished


async def read(floor: Floor, *words: str) -> Any:
    """A reading command's JSON."""
    return json.loads((await ok(floor, *words, "--json")).out)


async def test_a_trade_lives_its_life_by_command_line(floor: Floor) -> None:
    await floor.control.set_price("HYPE", Decimal(40))
    words = ("--margin", "1000", "--unit-size", "0.2", "--leverage", "10", "--yes")
    opened = await read(floor, "trade", "start", "HYPE/USDC:USDC", *words)
    assert (opened["coin"], opened["mode"], opened["phase"]) == ("HYPE", "trading", "ADVANCE")
    assert Decimal(opened["ledger"]["long"]) == 250

    listed = await read(floor, "trade", "list")
    assert [(trade["coin"], trade["mode"], trade["status"]) for trade in listed] == [("HYPE", "trading", "running")]

    assert "paused" in (await ok(floor, "trade", "pause", "hype", "--reason", "lunch")).out
    assert (await read(floor, "trade", "status", "HYPE"))["mode"] == "paused"
    again = await hypertrader("trade", "pause", "HYPE", env=floor.environment())
    assert (again.code, again.error) == (1, "pause is for a trade that is trading; this one is paused")
    # A trade is commanded and read while the exchange is away: only its name would be asked for.
    await floor.control.begin_outage()
    assert (await read(floor, "trade", "status", "hype/USDC:USDC"))["mode"] == "paused"
    assert "agreed at" in (await ok(floor, "trade", "report", "HYPE")).out
    assert len(await read(floor, "trade", "orders", "HYPE")) == 1
    assert "trading" in (await ok(floor, "trade", "resume", "HYPE")).out
    other = await hypertrader("trade", "leave", "hype-hedge", env=floor.environment())
    assert (other.code, other.error.split(":")[0]) == (1, "no trade on HYPE-hedge is known")
    await floor.control.end_outage()
    assert "units of 0.3 USD" in (await ok(floor, "trade", "set-unit-size", "HYPE", "0.3")).out
    bad = await hypertrader("trade", "set-unit-size", "HYPE", "--", "-1", env=floor.environment())
    assert (bad.code, bad.error) == (1, "unit size is -1; it must be more than 0 USD")

    assert "flat" in (await ok(floor, "trade", "close", "HYPE")).out
    assert await read(floor, "trade", "list") == []
    ended = await read(floor, "trade", "list", "--all")
    assert [trade["status"] for trade in ended] == ["completed"]
    # Every run of a trade after its opening begins later than the trade.
    assert listed[0]["started_at"] == ended[0]["started_at"] < ended[0]["closed_at"]
    assert not (await floor.books())["positions"]

    kinds = [entry["kind"] for entry in await read(floor, "trade", "history", "HYPE")]
    assert {"opened", "intent", "outcome", "fill", "operator", "closed"} <= set(kinds)
    [opened] = await read(floor, "trade", "history", "HYPE", "--kind", "opened")
    # Its next run began after that.
    assert datetime.fromisoformat(listed[0]["started_at"]).timestamp() * 1000 <= opened["at_ms"]
    commands = await read(floor, "trade", "history", "HYPE", "--kind", "operator")
    assert [entry["command"] for entry in commands] == ["pause", "resume", "set_unit_size", "close"]
    assert commands[0]["arguments"] == {"reason": "lunch"}
    told = (await ok(floor, "trade", "history", "HYPE")).out
    for text in ("without orders (reason: lunch)", "HYPE up to 40.", "HYPE down to 39."):
        assert text in told
    orders = await read(floor, "trade", "orders", "HYPE")
    assert [(order["side"], order["status"], order["reduce_only"]) for order in orders] == [
        ("buy", "filled", False),
        ("sell", "filled", True),
    ]
    assert all(order["established_by"] and order["asks"] >= 1 for order in orders)


async def test_orders_by_hand_move_the_position(floor: Floor) -> None:
    assert "filled +0.5 at" in (await ok(floor, "exchange", "buy", "SOL", "0.5")).out
    position = await read(floor, "exchange", "position", "SOL/USDC:USDC")
    assert (position["coin"], Decimal(position["size"])) == ("SOL", Decimal("0.5"))
    sold = await read(floor, "exchange", "sell", "SOL", "1")
    assert sold["status"] == "filled"
    assert Decimal((await read(floor, "exchange", "position", "SOL"))["size"]) == Decimal("-0.5")
    assert "filled +0.5 at" in (await ok(floor, "exchange", "close", "SOL")).out
    assert "nothing is held" in (await ok(floor, "exchange", "close", "SOL")).out
    thin = {"coin": "AVAX", "levels": 1, "size_usd": "100"}
    await floor.control.set_price("AVAX", Decimal(25))
    await floor.control.post("depth", thin)
    bought = (await ok(floor, "exchange", "buy", "AVAX", "6")).out
    held = Decimal((await read(floor, "exchange", "position", "AVAX"))["size"])
    assert 0 < held < 6
    assert f"not filled: {6 - held} of 6;" in bought
    balance = await read(floor, "exchange", "balance")
    assert balance["currency"] == "USDC"
    assert Decimal(balance["total"]) == Decimal((await floor.books())["accountValueUsd"])
    too_small = await hypertrader("exchange", "buy", "SOL", "0.01", env=floor.environment())
    assert (too_small.code, "$10" in too_small.error) == (1, True)


async def test_the_watcher_of_a_stack_follows_the_next_trade_of_the_coin(
    floor: Floor, capsys: pytest.CaptureFixture[str]
) -> None:
    said = ""

    async def until(text: str, count: int = 1) -> None:
        nonlocal said
        async with asyncio.timeout(30):
            while said.count(text) < count:
                await asyncio.sleep(0.05)
                said += capsys.readouterr().out

    stop, hint = asyncio.Event(), "closed; `hypertrader trade start XRP ...` opens the next, Ctrl-C stops"
    terms: dict[str, Any] = {"price": "2", "margin": 1000, "unit_size": "0.01", "leverage": 5}
    first = await floor.open("XRP", **terms)
    watching = asyncio.create_task(watch(floor.client, "XRP", floor.settings, stop, next_too=True))
    try:
        await until("XRP ADVANCE unit 0")
        await first.close()
        await until(hint)
        second = await floor.open("XRP", **terms)
        await second.to(1)
        await until("XRP ADVANCE unit 1")
        await second.close()
        await until(hint, 2)
    finally:
        stop.set()
        await watching


async def test_doctor_finds_a_whole_stack_well_and_a_missing_feed_not(floor: Floor) -> None:
    findings = await read(floor, "doctor")
    assert all(finding["ok"] for finding in findings), findings
    assert {"temporal", "worker", "feed", "key", "exchange", "clock", "account", "journal"} <= {
        finding["check"] for finding in findings
    }
    shown = await ok(floor, "doctor", "--only", "worker")
    assert shown.out.startswith("ok   worker")

    (floor.settings.state_dir / "paper.key").chmod(0o644)
    finished = await hypertrader("doctor", "--only", "key", "--only", "temporal", env=floor.environment())
    (floor.settings.state_dir / "paper.key").chmod(0o600)
    assert finished.code == 1
    assert "FAIL key" in finished.out
    assert "chmod 600" in finished.out
    assert "ok   temporal" in finished.out

    nowhere = await hypertrader("doctor", "--temporal", "127.0.0.1:1", "--json", env=floor.environment())
    assert nowhere.code == 1
    failed = {finding["check"]: finding["cure"] for finding in json.loads(nowhere.out) if not finding["ok"]}
    assert {"temporal", "search attributes", "retention", "worker", "feed", "former keys"} == set(failed)
    assert all(failed.values())


async def test_the_picture_of_a_trade_is_written_as_svg(floor: Floor) -> None:
    trade = await floor.open("BTC", price="100000", margin=1000, unit_size="100", leverage=5)
    await trade.to(2, 1)
    file = floor.settings.state_dir / "trade.svg"
    shown = await ok(floor, "trade", "status", "BTC", "--svg", str(file))
    assert "RETRACEMENT" in shown.out
    assert "retracement&#160;-1" in file.read_text()
    await trade.close()
