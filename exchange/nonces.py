"""Nonces that one signer never uses twice: not after a crash, a clock that jumps back, or in another process.

Each process takes a slot, and draws only nonces whose remainder by the number of slots is its own: processes that
share a key never meet. A slot's file holds a mark below which every nonce may have been used. The mark is written ahead
of the draws, so one write serves some seconds of them.
"""

import fcntl
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from exchange.errors import NotSent

RESERVE_MS = 10_000
AHEAD_MAX_MS = 12 * 3_600_000
"""The exchange takes nonces up to a day ahead of its clock; half of it leaves room to repair a wrong clock."""

_CLOSED = -1
_SLOT_FILE = re.compile(r"slot-(\d+)-of-(\d+)")


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class NonceSource:
    """The nonces of one signer in one process. `draw` is synchronous and safe from any thread.

    Takes a free slot of `folder` (or the one given) and holds it until `close` or the end of the process. Processes on
    machines that do not share the folder need different fixed slots. Raises NotSent when no slot can be had.
    """

    def __init__(
        self,
        folder: Path,
        signer: str,
        *,
        slots: int,
        slot: int | None = None,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        if slot is not None and not 0 <= slot < slots:
            raise ValueError(f"nonce slot is {slot}: 0 to {slots - 1} is allowed with {slots} slots")
        self._now_ms = now_ms
        self._slots = slots
        self._lock = threading.Lock()
        own = folder / "nonces" / signer.lower()
        own.mkdir(parents=True, exist_ok=True)
        with _locked(own / "lock"):
            floor = _floor_of_other_divisions(own, slots)
            self.slot, self._file = _take_slot(own, slots, slot)
            _fsync_folder(own)
        self._reserved = max(_read_mark(self._file), floor)
        self._last = self._reserved

    def draw(self) -> int:
        """A nonce near the wall clock in ms; after a restart or a clock that jumped back, some seconds ahead of it."""
        with self._lock:
            if self._file == _CLOSED:
                raise NotSent("the nonce source is closed")
            now = self._now_ms()
            lowest = max(now, self._last + 1)
            nonce = lowest + (self.slot - lowest) % self._slots
            if nonce > now + AHEAD_MAX_MS:
                raise NotSent(
                    f"nonces of slot {self.slot} are used up to {self._last}, over 12 h ahead of"
                    f" this machine's clock ({now}): the clock is or was wrong; set it, or use another nonce_slot"
                )
            if nonce >= self._reserved:
                self._write_mark(nonce + RESERVE_MS)
            self._last = nonce
            return nonce

    def close(self) -> None:
        """Give the slot back; what was reserved and not drawn is free again. Nothing is drawn after it."""
        with self._lock:
            if self._file == _CLOSED:
                return
            if self._last < self._reserved:
                self._write_mark(self._last + 1)
            os.close(self._file)
            self._file = _CLOSED

    def _write_mark(self, mark: int) -> None:
        # One short write at a fixed place and width: it is there as a whole or not at all.
        os.pwrite(self._file, f"{mark:020d}\n".encode(), 0)
        os.fsync(self._file)
        self._reserved = mark


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time looks around in the folder."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _take_slot(folder: Path, slots: int, wanted: int | None) -> tuple[int, int]:
    for slot in range(slots) if wanted is None else [wanted]:
        file = _try_slot(folder / f"slot-{slot}-of-{slots}")
        if file is not None:
            return slot, file
    if wanted is not None:
        raise NotSent(f"nonce slot {wanted} of {folder} is held by another process: give this one another nonce_slot")
    raise NotSent(f"all {slots} nonce slots of {folder} are held by other processes: raise nonce_slots or stop one")


def _try_slot(path: Path) -> int | None:
    """The open file with its lock, or None where another holds it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def _floor_of_other_divisions(folder: Path, slots: int) -> int:
    """Where another number of slots was used before, its remainders overlap ours: start above all its marks."""
    floor = 0
    for path in folder.iterdir():
        match = _SLOT_FILE.fullmatch(path.name)
        if match is None or int(match[2]) == slots:
            continue
        file = _try_slot(path)
        if file is None:
            raise NotSent(
                f"nonce_slots is {slots}, but a running process divides {folder} into {match[2]}: use the same"
            )
        floor = max(floor, _read_mark(file))
        os.close(file)
    return floor


def _read_mark(file: int) -> int:
    text = os.pread(file, 64, 0)
    if not text:
        return 0
    if re.fullmatch(rb"\d{20}\n", text) is None:
        raise NotSent(f"a nonce mark reads {text!r}: 20 digits are allowed; write one above every nonce ever used")
    return int(text)


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
