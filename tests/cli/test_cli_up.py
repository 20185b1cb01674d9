"""`hypertrader up` where there is no terminal: it opens, shows, stops at Ctrl-C, and goes on where it was."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path

import pytest

from cli.errors import CommandFailed
from cli.ports import Ports, is_free
from cli.up import PORT_OPTIONS, what_other_commands_need
from journal.entries import Decision, IntentRecord, Opened, ResetRecord
from journal.store import Journal
from settings import Settings
from tests.stack import environment

SPEED = "4"
PATIENCE_S = 90


class Up:
    """A running `hypertrader up` and what it has printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def until(self, text: str) -> str:
        """The first line from here on that has the text."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            while line := (await self.process.stdout.readline()).decode():
                self.lines.append(line.rstrip())
                if text in line:
                    return line
        raise AssertionError(f"{text!r} was never printed:\n" + "\n".join(self.lines))

    async def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        out, _ = await self.process.communicate()
        self.lines += out.decode().splitlines()
        assert self.process.returncode is not None
        return self.process.returncode


@asynccontextmanager
async def up(settings: Settings, ports: Ports, options: Sequence[str] = ()) -> AsyncIterator[Up]:
    numbers = [word for field in fields(ports) for word in (PORT_OPTIONS[field.name], str(getattr(ports, field.name)))]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cli.main",
        "up",
        *numbers,
        "--speed",
        SPEED,
        *options,
        env=environment(settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Up(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def processes_in(folder: Path) -> list[str]:
    """Command lines of processes that have the folder in their environment or arguments."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in text:
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


@pytest.mark.timeout(300)
@pytest.mark.drill
async def test_up_opens_a_trade_stops_clean_and_goes_on_through_the_reset(tmp_path: Path) -> None:
    settings, ports = Settings(state_dir=tmp_path / "state"), Ports.free()
    async with up(settings, ports, ["--coin", "ETH"]) as first:
        await first.until("network paper")
        assert f"http://127.0.0.1:{ports.ui}" in await first.until("Temporal Web UI")
        assert f"HYPERTRADER_TEMPORAL_ADDRESS=127.0.0.1:{ports.temporal} " in await first.until("for other commands")
        assert " ETH at 3450." in await first.until("opened a paper trade")
        assert "units of 2 USD are smaller than the costs" in await first.until("bleeds")
        await first.until("RETRACEMENT")
        assert await first.interrupt() == 0
    assert processes_in(settings.state_dir) == []
    assert all(is_free(getattr(ports, field.name)) for field in fields(ports))

    async with up(settings, ports, ["--coin", "ETH"]) as second:
        assert "goes on where it was" in await second.until("the trade on ETH")
        assert "cycle 1" in await second.until("ETH RETRACEMENT")
        await second.until("cycle 2")
        async with up(settings, Ports.free()) as third:
            assert "already runs on" in await third.until("error: ")
        assert await second.interrupt() == 0
    assert processes_in(settings.state_dir) == []

    journal = Journal(settings.journal)
    await journal.open()
    entries = [line.entry for line in await journal.history("trade-ETH")]
    orders = await journal.orders("trade-ETH")
    await journal.close()
    assert sum(isinstance(entry, Opened) for entry in entries) == 1
    assert sum(isinstance(entry, ResetRecord) for entry in entries) == 1
    phases = [entry.phase for entry in entries if isinstance(entry, Decision)]
    assert list(dict.fromkeys(phases)) == ["ADVANCE", "RETRACEMENT", "DECLINE", "RECOVERY"]
    assert {order.status for order in orders} == {"filled"}
    assert len(orders) == sum(isinstance(entry, IntentRecord) for entry in entries)


@pytest.mark.timeout(300)
@pytest.mark.drill
async def test_up_opens_a_portfolio_of_three_coins_and_goes_on_with_it(tmp_path: Path) -> None:
    settings, ports = Settings(state_dir=tmp_path / "state"), Ports.free()
    async with up(settings, ports) as first:
        for coin, usd in (("ETH", 4000), ("BTC", 2000), ("SOL", 2000)):
            assert f"{usd} USD at 3x" in await first.until(f" {coin} at ")
        assert "ETH ADVANCE" in await first.until("main equity")
        assert await first.interrupt() == 0
    async with up(settings, ports) as second:
        await second.until("portfolio main goes on where it was")
        assert "SOL ADVANCE" in await second.until("main equity")
        assert await second.interrupt() == 0
    assert processes_in(settings.state_dir) == []


def test_other_commands_are_told_what_is_not_as_usual() -> None:
    usual = Settings(state_dir=Path(".hypertrader").absolute())
    assert what_other_commands_need(usual) is None
    other = usual.model_copy(update={"temporal_address": "127.0.0.1:9", "state_dir": Path("/a b")})
    told = "export HYPERTRADER_STATE_DIR='/a b' HYPERTRADER_TEMPORAL_ADDRESS=127.0.0.1:9"
    assert what_other_commands_need(other) == told


async def test_a_taken_port_is_one_line_and_nothing_is_started(tmp_path: Path) -> None:
    settings, ports = Settings(state_dir=tmp_path / "state"), Ports.free()
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", ports.exchange)
    async with server, up(settings, ports) as refused:
        assert f"port {ports.exchange} (exchange) is taken" in await refused.until("error: ")
        assert await refused.process.wait() == 1
    assert not settings.state_dir.exists()
    assert processes_in(settings.state_dir) == []


def test_all_taken_ports_are_named_at_once() -> None:
    ports = Ports.free()
    with socket.create_server(("127.0.0.1", ports.ui)), socket.create_server(("127.0.0.1", ports.control)):
        with pytest.raises(CommandFailed) as refused:
            ports.check_free(PORT_OPTIONS)
    assert f"ports {ports.ui} (ui), {ports.control} (control) are taken" in str(refused.value)
    assert "--ui-port, --control-port" in str(refused.value)
