"""The commands of docs/operating.md, taken from it and run: what a person overrides a trade with is what is written."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.stack import Floor, TradeUnderTest

DOCUMENT = Path(__file__).parents[2] / "docs" / "operating.md"
_BLOCK = re.compile(r"^```sh( signal)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(*, of_the_second_close: bool = False) -> list[str]:
    section = DOCUMENT.read_text("utf-8").split("## Overriding with the Temporal CLI")[1]
    return [
        line
        for marked, block in _BLOCK.findall(section)
        if bool(marked) == of_the_second_close
        for line in block.splitlines()
        if line.startswith("temporal ")
    ]


def run(floor: Floor, command: str) -> str:
    finished = subprocess.run(
        ["/bin/sh", "-c", command],
        env={
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "TEMPORAL_ADDRESS": floor.settings.temporal_address,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, f"{command}: {finished.stderr}"
    return finished.stdout


async def open_eth(floor: Floor) -> TradeUnderTest:
    return await floor.open("ETH", price="2500", margin=1000, unit_size=2, leverage=5)


async def operator_commands(trade: TradeUnderTest) -> list[tuple[str, Any]]:
    return [(entry.command, entry.arguments) for entry in await trade.journal() if entry.kind == "operator"]


@pytest.fixture(scope="module")
async def outputs(floor: Floor) -> dict[str, str]:
    """Every command of the section but the last, in the document's order, on one trade; by the command."""
    trade = await open_eth(floor)
    found = {command: run(floor, command) for command in commands()}
    await trade.handle.result()
    found["status after"] = (await trade.handle.query("status"))["mode"]
    found["journal"] = json.dumps(await operator_commands(trade))
    found["units"] = json.dumps([entry.to_unit for entry in await trade.journal() if entry.kind == "unit_change"])
    return found


def test_the_document_has_a_command_for_every_signal_and_query_of_the_workflow() -> None:
    text = "\n".join(commands() + commands(of_the_second_close=True))
    for name in ("pause", "resume", "close", "set_unit_size", "leave", "units_moved"):
        assert re.search(rf"workflow signal .*--name {name} ", text), name
    for name in ("pause", "resume", "close", "set_unit_size"):
        assert re.search(rf"workflow update execute .*--name {name} ", text), name
    for name in ("status", "ledger", "tracking", "summary"):
        assert f"--type {name}" in text


def test_every_command_is_taken_by_the_server(outputs: dict[str, str]) -> None:
    assert set(commands()) <= set(outputs)


def test_each_override_took_effect_in_order(outputs: dict[str, str]) -> None:
    done = [command for command, _ in json.loads(outputs["journal"])]
    once = ["pause", "resume", "set_unit_size"]
    assert done == [*once, "leave", *once, "pause", "resume", "close"]
    assert json.loads(outputs["journal"])[2][1]["unit_size"] == "4"
    assert outputs["status after"] == "closed"


def test_prices_told_by_hand_complete_units(outputs: dict[str, str]) -> None:
    # The grid was laid anew at 2500 with units of 5 before 2510 was told.
    assert json.loads(outputs["units"]) == [2]


def test_queries_and_metadata_tell_the_story(outputs: dict[str, str]) -> None:
    shown = {command.split("--type ")[-1]: text for command, text in outputs.items() if "workflow query" in command}
    assert '"phase":"ADVANCE"' in shown["status"].replace(" ", "")
    assert '"equity"' in shown["ledger"]
    assert '"since_ms"' in shown["tracking"]
    assert "ADVANCE" in outputs["temporal workflow metadata -w trade-ETH"]
    assert any("trade-ETH" in text for command, text in outputs.items() if "workflow list" in command)


async def test_the_close_signal_closes_too(floor: Floor, outputs: dict[str, str]) -> None:
    assert outputs["status after"] == "closed"
    trade = await open_eth(floor)
    (command,) = commands(of_the_second_close=True)
    run(floor, command)
    result = await trade.handle.result()
    assert result["reason"] == "enough"
    assert await trade.net_on_exchange() == 0
