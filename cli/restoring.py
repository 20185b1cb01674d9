"""Putting a backup in the place of a state folder: whole or not at all, and what was there is kept."""

import contextlib
import fcntl
import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from cli import archive
from cli.archive import Manifest
from cli.errors import CommandFailed
from cli.lock import LOCK_FILE, StackLock
from cli.snapshot import SIMULATOR
from exchange.network import PAPER_KEY

MAY_BE_THERE = {LOCK_FILE, PAPER_KEY}
"""A folder with nothing else is as good as empty."""


def restore(backup: Path, folder: Path, expected: Manifest, *, force: bool, keep_simulator: bool) -> Path | None:
    """Unpack beside `folder`, then change places. Returns where the former state is now, if there was any.

    The paper account's key, which no backup holds, stays; so do the simulator's books if `keep_simulator`. Raises
    CommandFailed with `folder` as it was.
    """
    with _nobody_runs_on(folder):
        occupied = any(path.name not in MAY_BE_THERE for path in folder.iterdir())
        if occupied and not force:
            raise CommandFailed(
                f"{folder} holds a state already: with --force it is moved aside and kept; or name another --state-dir"
            )
        if keep_simulator and not (folder / SIMULATOR).is_file():
            raise CommandFailed(f"{folder / SIMULATOR} is not there: --keep-simulator keeps it where there is one")
        draft = folder.with_name(f".{folder.name}.restoring-{secrets.token_hex(8)}")
        try:
            draft.mkdir(mode=0o700)
            if archive.read(backup, draft) != expected:
                raise CommandFailed(f"{backup} was changed while it was read: try again")
            _take_over(folder, draft, keep_simulator=keep_simulator)
            return _swap(draft, folder, occupied=occupied)
        except OSError as error:
            raise CommandFailed(f"{folder} can't be restored: {error}; what was there is as it was") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def _nobody_runs_on(folder: Path) -> Iterator[None]:
    """Holds the stack's lock. Raises CommandFailed for a stack, or a worker or simulator that runs without one."""
    lock = StackLock(folder)
    try:
        lock.take()
        for file in [*folder.glob("nonces/*/slot-*"), *folder.glob("simulator.lock")]:
            with file.open("rb") as opened:
                try:
                    fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    who = "simulator" if file.name == "simulator.lock" else "worker"
                    raise CommandFailed(f"a {who} runs on {folder}: stop it, or name another --state-dir") from None
        yield
    finally:
        lock.release()


def _take_over(folder: Path, draft: Path, *, keep_simulator: bool) -> None:
    key = folder / PAPER_KEY
    if key.is_file():
        # The same file under a second name: there is no moment at which it could be lost.
        os.link(key, draft / PAPER_KEY)
    if keep_simulator:
        (draft / SIMULATOR).unlink(missing_ok=True)
        with (
            closing(sqlite3.connect(folder / SIMULATOR)) as source,
            closing(sqlite3.connect(draft / SIMULATOR)) as copy,
        ):
            source.backup(copy)


def _swap(draft: Path, folder: Path, *, occupied: bool) -> Path | None:
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
    aside = folder.with_name(f"{folder.name}.before-restore-{stamp}")
    folder.rename(aside)
    try:
        draft.rename(folder)
    except OSError:
        with contextlib.suppress(OSError):
            aside.rename(folder)
        raise
    _fsync(folder.parent)
    if occupied:
        return aside
    for name in MAY_BE_THERE:
        (aside / name).unlink(missing_ok=True)
    aside.rmdir()
    return None


def _fsync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
