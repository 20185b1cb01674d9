"""The worker and the feed as the sweep runs them: the real mains, watched from outside.

    python -m sweep.crashing worker        # or feed; SWEEP_CONDUCTOR names the conductor's socket
    python -m sweep.crashing nursery       # loads the code once, then forks a worker or a feed for each line on stdin

A worker takes three seconds to load its code, and the sweep kills hundreds: forked from a process that has loaded it,
one starts in a fraction of that. Each is a process of its own all the same, to be killed as any other.
"""

import ctypes
import json
import os
import signal
import socket
import sys
import threading
from typing import Any

from sweep import hooks

CONDUCTOR = "SWEEP_CONDUCTOR"
RENEW_ABOVE = "SWEEP_RENEW_ABOVE"
MAINS = ("worker", "feed")
_PR_SET_PDEATHSIG = 1


class Asker:
    """Tells the conductor where this process stands, and goes on when it answers."""

    def __init__(self, path: str, name: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(path)
        self._socket.sendall(f"{name}\n".encode())
        self._lock = threading.Lock()

    def __call__(self, boundary: str) -> None:
        with self._lock:
            try:
                self._socket.sendall(f"{boundary}\n".encode())
                self._socket.recv(1)
            except OSError:
                # The conductor is gone, and the sweep with it.
                return


def run(name: str) -> None:
    """The real main of the worker or the feed, with its settings from the environment. Blocks until it ends."""
    import cli.main

    above = os.environ.get(RENEW_ABOVE)
    if path := os.environ.get(CONDUCTOR):
        kind = "feed" if name.startswith("feed") else "worker"
        hooks.install(Asker(path, name), renew_above=int(above) if above else None)
        sys.argv = ["hypertrader", kind]
    cli.main.main()


def nursery() -> None:
    """Each line on stdin: {"name", "env", "log"}; the answer on stdout is the process id."""
    # What their mains import, so that no fork has to.
    import worker  # noqa: F401

    # Nobody waits for those that die.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _say("ready")
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(asked)
        _say(str(pid))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _become(asked: dict[str, Any]) -> None:
    """In the fork: never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.clear()
    os.environ.update(asked["env"])
    try:
        run(asked["name"])
    finally:
        # Whatever happens, a fork never goes on as the nursery.
        os._exit(1)


if __name__ == "__main__":
    chosen = sys.argv[1] if len(sys.argv) == 2 else ""
    if chosen == "nursery":
        nursery()
    elif chosen in MAINS:
        run(chosen)
    else:
        sys.exit("one of worker, feed or nursery is allowed")
