"""What was acknowledged is there after kill -9, restart and all: a real process, killed for real."""

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from simulator.server import Simulator, SimulatorConfig
from simulator.store import FILE_NAME, StateInUse
from tests.simulator.conftest import Client

PROGRAM = """
import sys
from decimal import Decimal
from functools import partial
from pathlib import Path
from simulator.config import SimulatorConfig
from simulator.main import run
from simulator.sources import PriceSpec, price_source

source = partial(price_source, PriceSpec(random_walk=7)) if sys.argv[3] == "walk" else None
run(SimulatorConfig(state_dir=Path(sys.argv[1]), funded={sys.argv[2]: Decimal(10_000)}, price_source=source, speed=20))
"""
ROOT = Path(__file__).parents[2]


class Process:
    """A simulator in a process of its own."""

    def __init__(self, state_dir: Path, address: str, prices: str = "still") -> None:
        self.arguments = (str(state_dir), address, prices)
        self.said: dict[str, str] = {}
        self._process: asyncio.subprocess.Process

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            PROGRAM,
            *self.arguments,
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout
        while (line := (await asyncio.wait_for(self._process.stdout.readline(), 20)).decode().strip()) != "ready":
            assert line, "the simulator ended"
            name, _, value = line.partition(" ")
            self.said[name] = value

    async def end(self, how: signal.Signals) -> int:
        if self._process.returncode is None:
            os.kill(self._process.pid, how)
        return await asyncio.wait_for(self._process.wait(), 20)


@pytest.fixture
async def process(tmp_path: Path, client: Any) -> AsyncIterator[Process]:
    running = Process(tmp_path / "state", client.address)
    yield running
    await running.end(signal.SIGKILL)


def aim(client: Any, process: Process) -> None:
    client.sim.url, client.sim.control_url = process.said["url"], process.said["control_url"]


async def everything(client: Any) -> Any:
    kinds = (
        "openOrders",
        "historicalOrders",
        "userFills",
        "userNonFundingLedgerUpdates",
        "userFunding",
        "userRateLimit",
        "subAccounts",
    )
    found = {kind: await client.info(kind, user=client.address, **since(kind)) for kind in kinds}
    state = await client.state()
    del state["time"]
    for sub in found["subAccounts"] or []:
        del sub["clearinghouseState"]["time"]
    return found | {"state": state}


def since(kind: str) -> dict[str, int]:
    return {"startTime": 0} if kind == "userNonFundingLedgerUpdates" else {}


async def test_state_survives_kill_9(client: Any, process: Process) -> None:
    original_urls = client.sim.url, client.sim.control_url
    await process.start()
    aim(client, process)
    await client.price("3460")
    await client.act({"type": "updateLeverage", "asset": 1, "isCross": True, "leverage": 7})
    body = client.signed({"type": "noop"})
    await client.post(body)
    await client.order(True, "1", "3500", cloid="0x" + "ab" * 16)
    oid = (await client.order(True, "0.5", "3400", tif="Gtc"))["resting"]["oid"]
    stop = {"trigger": {"isMarket": True, "triggerPx": "3300", "tpsl": "sl"}}
    stop_order = {"a": 1, "b": False, "p": "3000", "s": "1", "r": True, "t": stop, "c": "0x" + "cd" * 16}
    await client.act({"type": "order", "orders": [stop_order], "grouping": "na"})
    await client.control("sub_account", master=client.address, name="hedge")
    await client.control("funding", coin="ETH", rate="0.0001")
    await client.act({"type": "updateLeverage", "asset": 2, "isCross": False, "leverage": 5})
    await client.order(True, "1", "150", asset=2)
    await client.control("price", coin="SOL", mark="100")
    await client.control("price", coin="SOL", mark=None)
    assert await client.size("SOL") == 0
    before = await everything(client)
    tid = (await client.info("recentTrades", coin="ETH"))[0]["tid"]
    assert await process.end(signal.SIGKILL) == -signal.SIGKILL

    await process.start()
    aim(client, process)
    assert await everything(client) == before
    duplicate = {"status": "err", "response": f"Invalid nonce: duplicate nonce {body['nonce']}"}
    assert await client.post(body) == duplicate
    assert (await client.info("recentTrades", coin="ETH"))[0]["px"] == "3460.0"
    assert (await client.info("recentTrades", coin="ETH"))[0]["tid"] > tid
    await client.price("3390")
    assert str(await client.size()) == "1.5"
    assert (await client.info("userFills", user=client.address))[0]["oid"] == oid
    later = (await client.order(True, "0.1", "3500"))["filled"]["oid"]
    assert later > oid
    await client.price("3290")
    fill = (await client.info("userFills", user=client.address))[0]
    assert (fill["cloid"], fill["sz"], fill["side"]) == (stop_order["c"], "1.0", "A")
    client.sim.url, client.sim.control_url = original_urls


async def test_file_of_the_first_version_goes_on(client: Any, tmp_path: Path) -> None:
    """Written before there was funding, liquidation or a fault that hides."""
    await client.order(True, "1", "3500", cloid="0x" + "ab" * 16)
    venue = client.sim.venue
    db = sqlite3.connect(tmp_path / FILE_NAME)
    db.executescript(
        """
        CREATE TABLE accounts (address TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
        CREATE TABLE orders (oid INTEGER PRIMARY KEY, record TEXT NOT NULL);
        CREATE TABLE fills (tid INTEGER, oid INTEGER, record TEXT NOT NULL, PRIMARY KEY (tid, oid));
        CREATE TABLE nonces (signer TEXT, nonce INTEGER, PRIMARY KEY (signer, nonce)) WITHOUT ROWID;
        CREATE TABLE prices (coin TEXT PRIMARY KEY, mid TEXT NOT NULL) WITHOUT ROWID;
        CREATE TABLE clock (one INTEGER PRIMARY KEY, position_s REAL, start_ms INTEGER, paused INTEGER);
        """
    )
    account = venue.accounts[client.address].model_dump(mode="json")
    for name in ("funding_all_time_usd", "backstop_usd", "partly_liquidated_ms"):
        del account[name]
    account["positions"]["ETH"]["funding_all_time_usd"] = "0"
    (order,) = (each.model_dump(mode="json", exclude={"hidden_until_ms"}) for each in venue.orders.values())
    (fill,) = (
        each.model_dump(mode="json", exclude={"hidden_until_ms", "liquidation"})
        for each in venue.fills_of[client.address]
    )
    db.execute("INSERT INTO accounts VALUES (?, ?)", (client.address, json.dumps(account)))
    db.execute("INSERT INTO orders VALUES (?, ?)", (order["oid"], json.dumps(order)))
    db.execute("INSERT INTO fills VALUES (?, ?, ?)", (fill["tid"], fill["oid"], json.dumps(fill)))
    db.commit()
    db.close()
    before = await client.state(), await client.info("userFills", user=client.address)
    for _ in range(2):
        async with Simulator(SimulatorConfig(state_dir=tmp_path)) as sim:
            again = Client(sim, client.http, client.key)
            after = await again.state(), await again.info("userFills", user=client.address)
            assert {**after[0], "time": 0} == {**before[0], "time": 0} and after[1] == before[1]
            assert (await again.info("orderStatus", user=client.address, oid=order["oid"]))["status"] == "order"
            paid = await again.control("funding", coin="ETH", rate="0.001")
            assert paid[0]["usd"] == "-3.45"
            before = await again.state(), await again.info("userFills", user=client.address)
    assert len(sim.venue.fundings_of[client.address]) == 2


async def test_nothing_acknowledged_is_lost_when_killed_under_fire(client: Any, process: Process) -> None:
    """Orders are fired until the process dies: each answered one is there, each cloid at most once."""
    original_urls = client.sim.url, client.sim.control_url
    process.arguments = (*process.arguments[:2], "walk")
    await process.start()
    aim(client, process)
    acknowledged: set[str] = set()

    async def fire(lane: int) -> None:
        for number in range(10_000):
            cloid = f"0x{lane:016x}{number:016x}"
            try:
                status = await client.order(number % 2 == 0, "0.01", "4000" if number % 2 == 0 else "3000", cloid=cloid)
            except aiohttp.ClientError:
                return
            assert "filled" in status, status
            acknowledged.add(cloid)

    lanes = [asyncio.create_task(fire(lane)) for lane in range(3)]
    while len(acknowledged) < 60:
        await asyncio.wait(lanes, timeout=0.01)
    await process.end(signal.SIGKILL)
    await asyncio.gather(*lanes)

    await process.start()
    aim(client, process)
    fills = await client.info("userFills", user=client.address)
    cloids = [fill["cloid"] for fill in fills]
    assert acknowledged <= set(cloids)
    assert len(cloids) == len(set(cloids))
    assert len(cloids) - len(acknowledged) <= len(lanes), "at most one unanswered order per lane"
    size = sum(Decimal(fill["sz"]) * (1 if fill["side"] == "B" else -1) for fill in fills)
    assert await client.size() == size
    book = (await client.seen("ledger"))[client.address]
    assert Decimal(book["positions"].get("ETH", "0")) == size
    client.sim.url, client.sim.control_url = original_urls


async def test_path_goes_on_where_it_was_and_stays_held(client: Any, process: Process) -> None:
    original_urls = client.sim.url, client.sim.control_url
    process.arguments = (*process.arguments[:2], "walk")
    await process.start()
    aim(client, process)
    held = await client.control("clock", paused=True)
    # A print that was due when the clock was held may still be on its way: the restart shows where the path stands.
    for restart in range(2):
        await process.end(signal.SIGKILL)
        await process.start()
        aim(client, process)
        if restart == 0:
            mids = await client.info("allMids")
    clock = (await client.seen("state"))["clock"]
    assert (clock["paused"], clock["elapsedS"], clock["nowMs"]) == (True, held["elapsedS"], held["nowMs"])
    assert await client.info("allMids") == mids
    assert "prices" in process.said
    client.sim.url, client.sim.control_url = original_urls


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_signals_stop_the_process_cleanly(process: Process, how: signal.Signals) -> None:
    await process.start()
    assert set(process.said) == {"url", "ws_url", "control_url"}
    assert await process.end(how) == 0


async def test_state_folder_is_used_by_one_simulator_at_a_time(tmp_path: Path) -> None:
    config = SimulatorConfig(state_dir=tmp_path)
    async with Simulator(config):
        with pytest.raises(StateInUse, match="is open in another simulator"):
            await Simulator(config).start()
    async with Simulator(config):
        pass


async def test_funding_happens_once(tmp_path: Path) -> None:
    address = "0x" + "0a" * 20
    config = SimulatorConfig(state_dir=tmp_path, funded={address: Decimal(100)})
    for _ in range(2):
        async with Simulator(config) as sim, aiohttp.ClientSession() as http:
            body = json.dumps({"type": "clearinghouseState", "user": address})
            headers = {"Content-Type": "application/json"}
            async with http.post(f"{sim.url}/info", data=body, headers=headers) as response:
                assert (await response.json())["marginSummary"]["accountValue"] == "100.0"
