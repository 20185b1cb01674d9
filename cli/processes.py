"""Child processes that are kept alive: started again when they die, ended with us, their output in a log file.

child = Child("worker", argv, log_file=state / "logs/worker.log", ready=answers)
await child.start()
await child.wait_ready()    # until `ready` says so
await child.stop()          # SIGTERM, and SIGKILL for what does not listen
"""

import asyncio
import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from cli.errors import CommandFailed

READY_POLL_S = 0.05
FIRST_BACKOFF_S = 0.2
BACKOFF_S_MAX = 10.0
STEADY_AFTER_S = 30.0
"""A child that ran this long starts again without delay when it dies."""
STARTS_MAX = 3
"""A child that died this often before it was ever ready will not become so."""
LOG_LINES_SHOWN = 3

Ready = Callable[[], Awaitable[bool]]

log = logging.getLogger("hypertrader.stack")

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Child:
    """One supervised process, in a process group of its own so that Ctrl-C reaches only us.

    `ready` is asked until it says yes; `lock_fd` is inherited, so that a lock on it lives as long as any child does.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log_file: Path,
        env: Mapping[str, str],
        ready: Ready,
        ready_timeout_s: float = 30.0,
        lock_fd: int | None = None,
        on_start: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.starts = 0
        """How often it was started; 1 means that it never died."""
        self._argv = tuple(argv)
        self._log_file = log_file
        self._env = dict(env)
        self._ready = ready
        self._ready_timeout_s = ready_timeout_s
        self._lock_fd = lock_fd
        self._on_start = on_start
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """Of the running process; None while there is none."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process else None

    async def start(self) -> None:
        """Begin, and from now on keep it running."""
        self._stopping = False
        await self._spawn()
        self._keeper = asyncio.create_task(self._keep_running(), name=f"keep {self.name}")

    async def wait_ready(self) -> None:
        """Raises CommandFailed with the end of its log when it does not become ready."""
        deadline_s = time.monotonic() + self._ready_timeout_s
        while not await self._ready():
            if self.starts >= STARTS_MAX or time.monotonic() > deadline_s:
                raise CommandFailed(
                    f"{self.name} does not become ready; the end of {self._log_file}: "
                    f"{self.last_words() or 'nothing was written'}"
                )
            await asyncio.sleep(READY_POLL_S)

    async def stop(self, grace_s: float = 20.0) -> None:
        """SIGTERM, then SIGKILL for the whole group of one that is still there after `grace_s`."""
        self._stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            self._signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(grace_s):
                    await process.wait()
            except TimeoutError:
                log.warning("%s did not stop in %.0f s: killed", self.name, grace_s)
                self._signal(signal.SIGKILL)
                await process.wait()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None

    def kill(self) -> None:
        """As a crash would: SIGKILL, and the keeper starts it again."""
        if (pid := self.pid) is not None:
            os.kill(pid, signal.SIGKILL)

    def last_words(self) -> str:
        """The end of its log, on one line."""
        try:
            lines = self._log_file.read_text("utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return " | ".join(line.strip() for line in lines[-LOG_LINES_SHOWN:] if line.strip())

    async def _spawn(self) -> None:
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._env,
                start_new_session=True,
                pass_fds=() if self._lock_fd is None else (self._lock_fd,),
                preexec_fn=_die_with(os.getpid()),
            )
        self.starts += 1
        self._on_start()

    async def _keep_running(self) -> None:
        backoff_s = FIRST_BACKOFF_S
        while True:
            process = self._process
            assert process is not None
            began_s = time.monotonic()
            code = await process.wait()
            if self._stopping:
                return
            if time.monotonic() - began_s > STEADY_AFTER_S:
                backoff_s = FIRST_BACKOFF_S
            log.warning("%s ended with %s; starting it again in %.1f s", self.name, _ending(code), backoff_s)
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, BACKOFF_S_MAX)
            await self._spawn()

    def _signal(self, number: signal.Signals) -> None:
        if (pid := self.pid) is None:
            return
        try:
            os.killpg(pid, number) if number is signal.SIGKILL else os.kill(pid, number)
        except ProcessLookupError:
            log.debug("%s is gone already", self.name)


def _die_with(parent_pid: int) -> Callable[[], None]:
    """What a child does between fork and exec: on Linux, ask to be ended when its parent dies, however it dies."""

    def before_exec() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent_pid:
                os._exit(1)

    return before_exec


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
