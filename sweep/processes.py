"""Processes that are killed by the hundred and come back at once.

`Nursery` loads the code of worker and feed once and forks them; `Forked` is one of those, with the interface of
`cli.processes.Child`. A process that is `held` down stays down until it is let go.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from cli.errors import CommandFailed
from cli.processes import READY_POLL_S, Child, Ready

READY_TIMEOUT_S = 60.0
STOP_GRACE_S = 20.0


class Nursery:
    """One preloaded process that forks others."""

    def __init__(self, log_file: Path) -> None:
        self._log_file = log_file
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "sweep.crashing", "nursery"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        async with asyncio.timeout(READY_TIMEOUT_S):
            await self._answer()

    async def fork(self, name: str, env: Mapping[str, str], log_file: Path) -> int:
        """The process id."""
        assert self._process is not None and self._process.stdin is not None
        async with self._lock:
            order = {"name": name, "env": dict(env), "log": str(log_file)}
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            return int(await self._answer())

    async def stop(self) -> None:
        """Those it forked die with it."""
        if self._process is not None and self._process.returncode is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            await self._process.wait()

    async def _answer(self) -> str:
        assert self._process is not None and self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise CommandFailed(f"the nursery ended: see {self._log_file}")
        return line.decode().strip()


class Mortal(Child):
    """Comes back at once, however often it is killed, unless it is held down."""

    def __init__(self, name: str, argv: Sequence[str], *, log_file: Path, env: Mapping[str, str], ready: Ready) -> None:
        super().__init__(name, argv, log_file=log_file, env=env, ready=ready, ready_timeout_s=READY_TIMEOUT_S)
        self._down = asyncio.Event()
        self._free = asyncio.Event()
        self._free.set()

    def hold(self) -> None:
        """It stays down the next time it dies."""
        self._free.clear()

    def let_go(self) -> None:
        self._free.set()

    async def is_down(self) -> None:
        """Until it has died."""
        await self._down.wait()

    async def _spawn(self) -> None:
        await super()._spawn()
        self._down.clear()

    async def _keep_running(self) -> None:
        while True:
            await self._died()
            self._down.set()
            if self._stopping:
                return
            await self._free.wait()
            await self._spawn()

    async def _died(self) -> None:
        assert self._process is not None
        await self._process.wait()


class Forked(Mortal):
    """A worker or a feed, forked from a nursery."""

    def __init__(self, nursery: Nursery, name: str, *, log_file: Path, env: Mapping[str, str], ready: Ready) -> None:
        super().__init__(name, (), log_file=log_file, env=env, ready=ready)
        self._nursery = nursery
        self._pid: int | None = None

    @property
    def pid(self) -> int | None:
        return self._pid

    def kill(self) -> None:
        if self._pid is not None:
            os.kill(self._pid, signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        assert self._pid is not None
        os.kill(self._pid, number)

    async def wait_ready(self) -> None:
        deadline_s = time.monotonic() + self._ready_timeout_s
        while not await self._ready():
            if time.monotonic() > deadline_s:
                raise CommandFailed(f"{self.name} does not become ready: {self.last_words()}")
            await asyncio.sleep(READY_POLL_S)

    async def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        self._stopping = True
        if self._pid is not None:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._down.wait(), grace_s)
            except TimeoutError:
                self.kill()
                await self._down.wait()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None

    async def _spawn(self) -> None:
        self._pid = await self._nursery.fork(self.name, self._env, self._log_file)
        self._down.clear()
        self.starts += 1

    async def _died(self) -> None:
        assert self._pid is not None
        await _ended(self._pid)
        self._pid = None


async def _ended(pid: int) -> None:
    """Until a process that is not our child has died."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_reader(handle, over.set)
    try:
        await over.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)
