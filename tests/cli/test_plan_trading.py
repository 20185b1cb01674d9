"""A plan from its file to the end of its trade, by command line."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from cli import trades
from cli.paper import wait_until_followed
from tests.cli.conftest import Finished, hypertrader
from tests.feed.harness import until_async
from tests.stack import Floor
from workflows.contracts import Mode

PLAN = """\
name: dip
coin: SOL
size: {{risk_usd: 20}}
leverage: 1
unit_size: 1
strategy: fibonacci
entry: {{when: at_price, price: 149}}
limits: {{max_drawdown: {drawdown}}}
backstop: {{beyond: 0.05}}
accepts_costs: true
"""


async def said(floor: Floor, *words: str, editor: str = "") -> Finished:
    environment = floor.environment()
    return await hypertrader(*words, env={**environment, "EDITOR": editor} if editor else environment)


async def ok(floor: Floor, *words: str, editor: str = "") -> str:
    finished = await said(floor, *words, editor=editor)
    assert finished.code == 0, finished.err
    return finished.out


async def test_a_plan_is_started_edited_and_stopped(
    floor: Floor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await floor.control.set_price("SOL", Decimal(150))
    file = tmp_path / "dip.yaml"
    file.write_text(PLAN.format(drawdown="0.2"))

    waiting = json.loads(await ok(floor, "plan", "start", str(file), "--json"))
    assert (waiting["mode"], waiting["input"]["plan"]) == ("waiting", {"name": "dip", "version": 1})
    assert "waiting" in await ok(floor, "trade", "status", "SOL")

    file.write_text(PLAN.format(drawdown="0.3"))
    edited = json.loads(await ok(floor, "plan", "edit", str(file), "--json"))
    assert edited["version"] == 2

    await wait_until_followed(floor.client, floor.control, "SOL")
    await floor.control.set_price("SOL", Decimal(149))
    await until_async(lambda: is_trading(floor), timeout_s=20)
    seen = json.loads(await ok(floor, "trade", "status", "SOL", "--json"))
    assert seen["input"]["limits"]["max_drawdown"] == "0.3"
    assert [version["version"] for version in seen["plan_versions"]] == [2]
    # 20 USD are lost at a drawdown of 30%, one unit further, and costs: a little less than 20 / 0.3.
    assert 60 < Decimal(seen["margin_usd"]) < Decimal("66.67")

    refused = await said(floor, "plan", "edit", "dip", editor="sed -i s/SOL/HYPE/")
    assert refused.code == 1 and "a running trade keeps its SOL" in refused.error
    file.write_text(PLAN.format(drawdown="0.00001"))
    refused = await said(floor, "plan", "edit", str(file))
    assert refused.code == 1 and "would end at once" in refused.error
    assert json.loads(await ok(floor, "plan", "list", "--json"))[0]["versions"] == [1, 2]

    # A version that is taken when nobody waits for the answer any more is kept, and its number not given twice.
    await floor.control.arm("delay", {"info": "metaAndAssetCtxs"}, seconds=4)
    monkeypatch.setattr(trades, "ANSWER_TIMEOUT_S", 2)
    file.write_text(PLAN.format(drawdown="0.35").replace("unit_size: 1", "unit_size: 2"))
    lost = await said(floor, "plan", "edit", str(file))
    assert lost.code == 1 and "version 3 is kept" in lost.error
    monkeypatch.undo()
    await until_async(lambda: follows(floor, 3), timeout_s=20)
    file.write_text(PLAN.format(drawdown="0.4").replace("unit_size: 1", "unit_size: 2"))
    assert json.loads(await ok(floor, "plan", "edit", str(file), "--json"))["version"] == 4

    assert "flat" in await ok(floor, "plan", "stop", "dip")
    refused = await said(floor, "plan", "stop", "dip")
    assert (refused.code, refused.error) == (1, "no trade runs by plan dip")


async def is_trading(floor: Floor) -> bool:
    return (await trades.any_status(floor.client, "SOL")).mode is Mode.TRADING


async def follows(floor: Floor, version: int) -> bool:
    seen = await trades.any_status(floor.client, "SOL")
    return [each.version for each in seen.plan_versions][-1:] == [version]
