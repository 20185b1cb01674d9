"""`stop-all` and the answers to a trade in attention, by command line on the real stack."""

import json
from decimal import Decimal

from tests.cli.conftest import Finished, hypertrader
from tests.stack import Floor


async def ok(floor: Floor, *words: str) -> Finished:
    finished = await hypertrader(*words, env=floor.environment())
    assert finished.code == 0, finished.err
    return finished


async def test_stop_all_ends_flat_with_a_proof_and_latches_every_trade(floor: Floor) -> None:
    await floor.open("DOGE", price="0.4", margin=500, unit_size="0.001", leverage=10)
    await floor.open("SOL", price=200, margin=500, unit_size=1, leverage=10)
    await ok(floor, "exchange", "buy", "AVAX", "40")

    left = await hypertrader("stop-all", "--reason", "fire drill", "--json", env=floor.environment())
    assert left.code == 1 and "+40 AVAX" in left.error and "DOGE" not in left.error
    report = json.loads(left.out)
    assert [trade["mode"] for trade in report["trades"]] == ["stopped", "stopped"]
    assert all(trade["proof"]["looks"] >= 2 for trade in report["trades"])

    found = json.loads((await ok(floor, "stop-all", "--others-too", "--json")).out)
    assert found["flat"] and not found["positions"] and not found["resting"]
    assert json.loads((floor.settings.state_dir / f"stop-all-{found['asked_at_ms']}.json").read_text())["flat"]
    assert (await floor.books())["positions"] == {}

    # A stopped trade holds its coin until a person lets go of it.
    again = await hypertrader(
        *("trade", "start", "SOL", "--margin", "100", "--unit-size", "1", "--yes"), env=floor.environment()
    )
    assert (again.code, again.error[:33]) == (1, "a trade on SOL already runs: see ")
    for coin in ("SOL", "DOGE"):
        assert "without an order" in (await ok(floor, "trade", "release", coin)).out
    report_of = (await ok(floor, "trade", "report", "DOGE")).out
    assert "flat and nothing resting, as the exchange said at" in report_of


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
