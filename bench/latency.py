"""From a unit completed at the socket to the order at the exchange: HyperTrader beside a plain asyncio ccxt script.

Both follow the same simulator over its WebSocket and trade market orders over HTTP, in turns on the same machine: the
trade on ETH through feed, Temporal (SQLite, as `make up` starts it) and worker; the script on SOL in one process that
awaits ccxt in its price loop and remembers nothing. Printed: milliseconds from the message's arrival to the order's at
the simulator.

    python -m bench.latency [rounds]
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from websockets.asyncio.client import connect

from cli import trades
from cli.paper import control_of, fund_once, paper_account, wait_until_followed
from cli.ports import Ports
from cli.stack import Stack
from cli.venue import ControlApi, Venue
from exchange.network import endpoint
from exchange.quiet import QuietHyperliquid
from exchange.signing import PrivateKey
from feed.tracker import UnitTracker
from settings import Settings
from strategy.units import UnitGrid

ROUNDS = 200
WARM_UP = 10
PAUSE_S = 0.1
UNIT = Decimal(2)
SCRIPT_COIN, SCRIPT_SYMBOL, SCRIPT_UNIT, SCRIPT_SIZE = "SOL", "SOL/USDC:USDC", Decimal(1), 1.0


class PlainScript:
    """What people write first: a socket loop that counts units and awaits ccxt."""

    def __init__(self, settings: Settings, key: PrivateKey, anchor: Decimal) -> None:
        self._tracker = UnitTracker(UnitGrid(anchor_price=anchor, unit_size=SCRIPT_UNIT))
        self._ccxt = QuietHyperliquid(endpoint(settings), key.address, key)
        self._ws_url = settings.exchange_url.replace("http", "ws", 1) + "/ws"
        self.arrived_ns: dict[str, int] = {}
        self.ready = asyncio.Event()

    async def run(self) -> None:
        await self._ccxt.load_markets()
        async with connect(self._ws_url) as socket:
            subscription = {"type": "trades", "coin": SCRIPT_COIN}
            await socket.send(json.dumps({"method": "subscribe", "subscription": subscription}))
            async for frame in socket:
                await self._on_frame(json.loads(frame), time.time_ns())

    async def _on_frame(self, message: dict[str, object], now_ns: int) -> None:
        if message["channel"] != "trades":
            self.ready.set()
            return
        for trade in message["data"]:  # type: ignore[attr-defined]
            price, before = Decimal(trade["px"]), self._tracker.line
            line = self._tracker.observe(price)
            if line is None:
                continue
            cloid = f"0x{now_ns:032x}"
            self.arrived_ns[cloid] = now_ns
            side = "sell" if line < before else "buy"
            await self._ccxt.create_order(
                SCRIPT_SYMBOL, "market", side, SCRIPT_SIZE, float(price), params={"clientOrderId": cloid}
            )

    async def close(self) -> None:
        await self._ccxt.close()


async def received_ms(control: ControlApi, signer: str) -> dict[str, int]:
    """When the simulator got each order, by cloid."""
    return {
        request["body"]["action"]["orders"][0]["c"]: request["received_ms"]
        for request in await control.requests(type="order", signer=signer)
    }


def arrivals_ns(trace_file: Path) -> dict[str, int]:
    """When the price behind each of the trade's orders arrived at the feed's socket, by cloid: from the trace."""
    spans = [json.loads(line) for line in trace_file.read_text().splitlines()]
    prices = {span["trace_id"]: span["start_ns"] for span in spans if span["name"] == "feed.price"}
    orders = [span for span in spans if span["name"] == "activity.execute_order"]
    return {span["attributes"]["cloid"]: prices[span["trace_id"]] for span in orders if span["trace_id"] in prices}


def delays_ms(arrived_ns: dict[str, int], got_ms: dict[str, int]) -> list[float]:
    """The simulator's clock ticks in ms: half of one is added, for what it cuts off."""
    shared = [cloid for cloid in arrived_ns if cloid in got_ms]
    return [got_ms[cloid] + 0.5 - arrived_ns[cloid] / 1e6 for cloid in shared][WARM_UP:]


async def measure(rounds: int, folder: Path) -> tuple[list[float], list[float]]:
    settings = Settings(state_dir=folder, trace_file=folder / "spans.jsonl")
    async with Stack(settings, Ports.free(), simulator_options=["--still"]) as stack:
        control = control_of(stack)
        key = PrivateKey(f"{int.from_bytes(b'plain script'):064x}")
        await control.fund(key.address, Decimal(100_000))
        await fund_once(stack, Decimal(1000))
        opened = await trades.start_trade("ETH", 1000, UNIT, yes=True, settings=stack.settings, client=stack.client)
        await wait_until_followed(stack.client, control, "ETH")
        assert opened.anchor_price is not None
        async with Venue(stack.settings) as venue:
            anchor = (await venue.mid_prices())[SCRIPT_COIN]
        script = PlainScript(stack.settings, key, anchor)
        loop = asyncio.create_task(script.run())
        await script.ready.wait()
        for number in range(rounds + WARM_UP):
            # Down completes a unit and takes a step, up completes one and undoes it: an order each.
            down = number % 2 == 0
            await control.set_price("ETH", opened.anchor_price - UNIT if down else opened.anchor_price)
            await asyncio.sleep(PAUSE_S)
            await control.set_price(SCRIPT_COIN, anchor - SCRIPT_UNIT if down else anchor)
            await asyncio.sleep(PAUSE_S)
        await asyncio.sleep(1)
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        await script.close()
        assert stack.settings.trace_file is not None
        ours = delays_ms(
            arrivals_ns(stack.settings.trace_file), await received_ms(control, paper_account(stack.settings))
        )
        plain = delays_ms(script.arrived_ns, await received_ms(control, key.address))
        return ours, plain


def percentile(values: Sequence[float], share: int) -> float:
    return statistics.quantiles(values, n=100)[share - 1]


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory(prefix="hypertrader-bench-") as folder:
        ours, plain = asyncio.run(measure(rounds, Path(folder)))
    print(f"from a unit completed at the socket to the order at the simulator, ms, {len(ours)} and {len(plain)} orders")
    print(f"{'':24} {'p50':>8} {'p99':>8}")
    for name, values in (("HyperTrader", ours), ("plain ccxt script", plain)):
        print(f"{name:24} {percentile(values, 50):8.1f} {percentile(values, 99):8.1f}")
    for share in (50, 99):
        a, b = percentile(ours, share), percentile(plain, share)
        print(f"p{share}: {a - b:+.1f} ms above the plain script, {a / b:.1f} times its time")


if __name__ == "__main__":
    main()
