"""A stack with a private key and a payload key of its own, run through a whole cycle and through what may go wrong."""

import asyncio
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from activities.notifying import NOTIFY_VARIABLE
from cli.demo import TURNS
from encryption import KEYS_VARIABLE
from exchange.network import KEY_VARIABLE
from tests.cli.conftest import Finished, hypertrader, hypertrader_process
from tests.stack import Floor, running_stack

REASON = "whatever a person writes is nobody's business"
NOTIFY_TOKEN = f"notify-{secrets.token_hex(12)}"


@dataclass
class Edge:
    floor: Floor
    private_key: bytes
    payload_key: bytes
    said: dict[str, Finished] = field(default_factory=dict)
    """What commands wrote, by name."""

    def environment(self, **changed: str) -> dict[str, str]:
        keys = {KEY_VARIABLE: self.private_key.hex(), KEYS_VARIABLE: self.payload_key.hex()}
        around = self.floor.environment() | keys | changed
        return {name: value for name, value in around.items() if value}

    async def run(self, name: str, *arguments: str, **changed: str) -> Finished:
        self.said[name] = await hypertrader(*arguments, env=self.environment(**changed))
        return self.said[name]

    @asynccontextmanager
    async def codec(self, *options: str) -> AsyncIterator[tuple[str, int]]:
        """Address and process id of a running codec server."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli.main", "codec", "--port", "0", *options),
            env=self.environment(),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
            yield line.removeprefix("codec server at ").split(";")[0], process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()


@pytest.fixture(scope="module")
def keys() -> Iterator[tuple[bytes, bytes]]:
    """Private and payload key, in this process's environment as an operator would have them."""
    private, payload = secrets.token_bytes(32), secrets.token_bytes(32)
    with pytest.MonkeyPatch.context() as around:
        around.setenv(KEY_VARIABLE, f"0x{private.hex()}")
        around.setenv(KEYS_VARIABLE, payload.hex())
        # Nobody listens there: what is told fails, and the failures are searched for the token too.
        around.setenv(NOTIFY_VARIABLE, f"http://127.0.0.1:9/{NOTIFY_TOKEN}")
        yield private, payload


@pytest.fixture(scope="module")
async def edge(keys: tuple[bytes, bytes], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    state_dir: Path = tmp_path_factory.mktemp("edge") / "state"
    trace = {"HYPERTRADER_TRACE_FILE": str(state_dir / "trace.jsonl"), "HYPERTRADER_LOG_LEVEL": "DEBUG"}
    async with running_stack(state_dir, env=trace) as floor:
        edge = Edge(floor, *keys)
        await _a_whole_cycle(edge)
        await _what_goes_wrong(edge)
        yield edge


async def _a_whole_cycle(edge: Edge) -> None:
    trade = await edge.floor.open("ETH", price="2500", margin=1000, unit_size=2, leverage=5)
    await trade.to(*TURNS)
    await edge.run("pause", "trade", "pause", "ETH", "--reason", REASON)
    await edge.run("resume", "trade", "resume", "ETH")
    for name in ("status", "orders", "history"):
        await edge.run(name, "trade", name, "ETH")
        await edge.run(f"{name} as JSON", "trade", name, "ETH", "--json")
    await edge.run("list", "trade", "list")
    await edge.run("position", "exchange", "position", "ETH")
    await edge.run("doctor", "doctor")
    for name, finished in edge.said.items():
        assert finished.code == 0, f"{name}: {finished.err}{finished.out}"
    await trade.close()


async def _what_goes_wrong(edge: Edge) -> None:
    private, payload = edge.private_key.hex(), edge.payload_key.hex()
    start = ("trade", "start", "SOL", "--leverage", "2")
    await edge.run("a refused start", *start, "--margin", "5", "--unit-size", "2")
    await edge.run("a start on no coin", "trade", "start", "NOCOIN", "--margin", "100", "--unit-size", "2")
    await edge.run("no payload key", "trade", "status", "ETH", **{KEYS_VARIABLE: ""})
    await edge.run("a bad payload key", "trade", "status", "ETH", **{KEYS_VARIABLE: f"{payload}0"})
    await edge.run("a bad private key", "doctor", **{KEY_VARIABLE: f"{private}0"})
    # These take over their process: each has one of its own.
    sure = edge.environment(HYPERTRADER_NETWORK="mainnet", HYPERTRADER_ALLOW_MAINNET="yes", **{KEYS_VARIABLE: ""})
    starts = {
        "a worker with a bad key": ("worker", edge.environment(**{KEY_VARIABLE: f"0x{private}zz"})),
        "a worker on mainnet without a payload key": ("worker", sure),
        "a feed on mainnet without a payload key": ("feed", sure),
    }
    ended = await asyncio.gather(*(hypertrader_process(name, env=around) for name, around in starts.values()))
    edge.said |= dict(zip(starts, ended, strict=True))
