"""The drill: a backup of a running trade, everything killed, restored, started again. The exchange alone remembers."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cli import trades
from cli.ports import Ports
from cli.stack import Stack
from settings import Settings
from tests.cli.conftest import hypertrader
from tests.stack import FUNDED_USD, Floor, TradeUnderTest, environment
from workflows.asked import Rehedge
from workflows.contracts import Mode
from workflows.status import TradeStatus


@asynccontextmanager
async def stack_on(folder: Path) -> AsyncIterator[Floor]:
    """Killed, all of it, in the end."""
    stack = Stack(Settings(state_dir=folder), Ports.free(), simulator_options=("--still",))
    await stack.start()
    try:
        yield Floor(stack)
    finally:
        for child in stack.children.values():
            child.kill()
        await stack.stop()


async def until(floor: Floor, wanted: Callable[[TradeStatus], bool]) -> TradeStatus:
    async with asyncio.timeout(20):
        while True:
            if wanted(seen := await trades.status(floor.client, "ETH")):
                return seen
            await asyncio.sleep(0.05)


async def until_one_is_on_its_way(floor: Floor) -> None:
    async with asyncio.timeout(20):
        while True:
            if (await floor.control.faults())[0]["hit"]:
                return
            await asyncio.sleep(0.02)


async def told(*words: str, folder: Path) -> dict[str, Any]:
    done = await hypertrader(*words, "--json", env=environment(Settings(state_dir=folder)))
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


async def accepted(floor: Floor) -> list[tuple[str, int]]:
    """Cloid and oid of every order the exchange ever took, by its own books."""
    return [(order["cloid"], order["oid"]) for order in (await floor.books())["acceptedOrders"]]


async def while_moving(trade: TradeUnderTest, work: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    """Do it while the price crosses a line and comes back, again and again."""
    doing = asyncio.ensure_future(work)
    while not doing.done():
        await trade.to(-1, 0)
    return doing.result()


@pytest.mark.timeout(120)
@pytest.mark.drill
async def test_a_restored_trade_goes_on_and_doubles_no_order(tmp_path: Path) -> None:
    folder, archive = tmp_path / "state", tmp_path / "saved.tar.gz"
    async with stack_on(folder) as floor:
        await floor.control.fund(floor.account, FUNDED_USD)
        trade = await floor.open("ETH", price="2500", margin=1000, unit_size=2, leverage=10)
        await trade.to(1, 0)
        saved = await while_moving(trade, told("backup", str(archive), folder=folder))
        assert {"temporal.db", "journal.db", "simulator.db"} <= {each["name"] for each in saved["files"]}

        # An order is on its way while this backup is made: it reaches the exchange after that.
        await floor.control.arm("delay", {"action": "order"}, seconds=1)
        await floor.control.set_price("ETH", trade.price_of(-1))
        await until_one_is_on_its_way(floor)
        saved_up_to = await accepted(floor)
        await told("backup", str(archive), "--force", folder=folder)
        assert await accepted(floor) == saved_up_to
        await trade.rest_at(-1)
        (on_its_way,) = (await accepted(floor))[len(saved_up_to) :]
        # What happens now, nobody but the exchange will remember.
        await trade.to(-2)
        before = await accepted(floor)

    done = await told("restore", str(archive), "--force", "--keep-simulator", folder=folder)
    assert done["moved_aside"] is not None
    async with stack_on(folder) as floor:
        trade.floor = floor
        seen = await until(floor, lambda now: now.mode is Mode.ATTENTION)
        assert seen.difference is not None
        assert seen.difference.held_size == await trade.net_on_exchange()
        settled = seen.last_orders[-1]
        assert (settled.cloid, settled.established_by) == (on_its_way[0], "order_status"), "its nonce is taken once"
        assert await accepted(floor) == before, "nothing is ordered before a person has answered"

        await trades.command(floor.client, "ETH", "rehedge", Rehedge())
        await until(floor, lambda now: now.mode is Mode.TRADING and not now.order_in_flight and not now.order_due)
        seen = await trade.to(-3)
        assert seen.ledger is not None and seen.ledger.net == await trade.net_on_exchange()
        assert not [note for note in seen.notes if "journal" in note]
        cloids = [cloid for cloid, _ in await accepted(floor)]
        assert len(cloids) == len(set(cloids)) > len(before)
