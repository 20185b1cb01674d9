"""`hypertrader simulator`: what its options make of the venue."""

import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from cli.venue import ControlApi


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """`started("--still")`: the configuration of the simulator that would run."""
    configs: list[Any] = []
    monkeypatch.setattr("simulator.main.run", configs.append)
    monkeypatch.setattr("cli.process_commands.set_up_logs", lambda level: None)
    monkeypatch.setenv("HYPERTRADER_STATE_DIR", str(tmp_path))

    def start(*options: str) -> Any:
        assert run(["simulator", "--in-memory", *options]) == 0
        return configs.pop()

    return start


def test_funding_is_the_exchanges_usual_one_unless_told_otherwise(started: Any) -> None:
    assert started().funding.rate("ETH", 0) == Decimal("0.0000125")
    assert started("--still").funding.rate("ETH", 0) == 0, "nothing moves by itself"
    assert started("--still", "--funding", "0.001").funding.rate("ETH", 0) == Decimal("0.001")
    assert started("--funding", "none").funding.rate("ETH", 0) == 0
    assert started("--fault-seed", "7").fault_seed == 7


@pytest.mark.usefixtures("started")
def test_wrong_rate_names_what_is_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulator", "--in-memory", "--funding", "0.5"]) == 2
    assert "--funding: 0.5: a rate per hour from -0.04 to 0.04" in capsys.readouterr().err


def test_made_up_coins_are_listed_and_have_a_book() -> None:
    program = (
        "from simulator import markets; from simulator.config import SimulatorConfig;"
        "from simulator.listings import BY_ASSET, list_more; from simulator.venue import Venue;"
        "list_more(2);"
        "assert markets.meta()['universe'][23]['name'] == BY_ASSET[23].coin == 'COIN23';"
        "assert Venue(SimulatorConfig()).mid('COIN23') == markets.BY_COIN['COIN23'].reference_price;"
        "assert 24 not in BY_ASSET"
    )
    # They are the whole process's.
    subprocess.run([sys.executable, "-c", program], check=True)


async def test_control_client_reaches_every_kind_of_trouble(client: Any) -> None:
    control = ControlApi(client.sim.control_url)
    try:
        await control.seed(7)
        fault = await control.arm("delay", {"action": "order", "nth": 2}, seconds=3, when="after")
        (armed,) = await control.faults()
        assert (armed["id"], armed["kind"], armed["match"]["nth"], armed["hit"]) == (fault, "delay", 2, 0)
        await control.disarm()
        assert await control.faults() == []
        await control.begin_outage("bad_gateway", seconds=60)
        assert client.sim.outage.mode == "bad_gateway"
        await control.end_outage()
        assert client.sim.outage.mode is None
        await client.order(True, "1", "3500")
        await control.pay_funding("ETH", Decimal("0.001"))
        assert (await control.ledger(client.address))["fundingUsd"] == "-3.45"
        await control.strike_streams("stall", seconds=1)
    finally:
        await control.close()
