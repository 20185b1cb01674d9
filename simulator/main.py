"""The simulator as a process: starts, says where it listens, stops cleanly on SIGTERM and SIGINT."""

import asyncio
import signal
import sys

from simulator.config import SimulatorConfig
from simulator.server import Simulator


def run(config: SimulatorConfig) -> None:
    """Blocks until a signal. Prints `url ...`, `ws_url ...`, `control_url ...`, then `ready` once all three answer."""
    asyncio.run(_run(config))


async def _run(config: SimulatorConfig) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with Simulator(config) as simulator:
        _say(f"url {simulator.url}")
        _say(f"ws_url {simulator.ws_url}")
        _say(f"control_url {simulator.control_url}")
        if simulator.clock.paused:
            _say(f"prices are held at {simulator.clock.elapsed_s():.1f} s of the path: resume with /control/clock")
        _say("ready")
        await stopped.wait()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
