"""One stack per state folder: a lock that lives as long as the stack or any of its processes does."""

import fcntl
import json
import os
import time
from pathlib import Path

from cli.errors import CommandFailed

LOCK_FILE = "stack.lock"
WAIT_S = 10.0
"""For the processes of a stack that was killed: they end by themselves, after what they have in hand."""


class StackLock:
    """An flock on STATE/stack.lock. Children inherit `fd`, so a lock that is held means that something still runs."""

    def __init__(self, state_dir: Path) -> None:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.fd = os.open(state_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        self._state_dir = state_dir

    def take(self) -> None:
        """Raises CommandFailed that names who holds it."""
        deadline_s = time.monotonic() + WAIT_S
        while True:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                holders = self._holders()
                if _lives(holders.get("stack")):
                    raise CommandFailed(
                        f"a stack already runs on {self._state_dir} (process {holders['stack']}): stop it with Ctrl-C, "
                        f"or choose another folder with --state-dir"
                    ) from None
                if time.monotonic() > deadline_s:
                    left = ", ".join(f"{name} ({pid})" for name, pid in holders.items() if _lives(pid)) or "unknown"
                    raise CommandFailed(
                        f"processes of an earlier stack on {self._state_dir} still run: {left}: end them with kill"
                    ) from None
            time.sleep(0.1)

    def name_holders(self, pids: dict[str, int]) -> None:
        """Write down who holds the lock, for the next one who wants it."""
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, json.dumps({"stack": os.getpid(), **pids}).encode(), 0)

    def release(self) -> None:
        os.close(self.fd)

    def _holders(self) -> dict[str, int]:
        text = os.pread(self.fd, 4096, 0)
        try:
            return dict(json.loads(text or b"{}"))
        except ValueError:
            return {}


def _lives(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
