"""How many messages an hour a channel is sent, and what waits until there is room again.

Kept in one SQLite file of the state folder: a worker that is started anew remembers both, and workers that share the
folder share the ration. Channels are known by their place in the list; their addresses are nowhere in the file.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from activities.messages import Notice

HOUR_MS = 3_600_000
KEPT_FREE = 5
"""One message in so many is for what is urgent."""
LOCKED_S_MAX = 5.0

_TABLES = """
CREATE TABLE IF NOT EXISTS sent (channel INTEGER NOT NULL, at_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS waiting (
    id INTEGER PRIMARY KEY, channel INTEGER NOT NULL, notice TEXT NOT NULL, UNIQUE (channel, notice)
);
"""


@dataclass(frozen=True)
class Share:
    """Room for one message and what to say in it; `ids` of those that had waited."""

    notices: tuple[Notice, ...]
    ids: frozenset[int]


class Ration:
    """Every method is a short transaction on disk: call them in a thread. Raises sqlite3.Error."""

    def __init__(self, file: Path, per_hour: int) -> None:
        self._file = file
        self._per_hour = per_hour
        self._lock = threading.Lock()
        self._being_told: set[int] = set()

    def take(self, channel: int, notice: Notice, now_ms: int) -> Share | None:
        """Room for this notice, and with it for all that wait; None when there is none, and it waits, too."""
        with self._lock:
            with self._transaction() as rows:
                if not self._room(rows, channel, now_ms, urgent=notice.urgent):
                    wait = "INSERT OR IGNORE INTO waiting (channel, notice) VALUES (?, ?)"
                    rows.execute(wait, (channel, notice.model_dump_json()))
                    return None
                waiting = self._waiting(rows, channel)
                _use(rows, channel, now_ms)
            return self._share((notice,), waiting)

    def take_waiting(self, channel: int, now_ms: int) -> Share | None:
        """Room for what waits; None when nothing does, or there is none."""
        with self._lock:
            with self._transaction() as rows:
                waiting = self._waiting(rows, channel)
                urgent = any(notice.urgent for notice in waiting.values())
                if not waiting or not self._room(rows, channel, now_ms, urgent=urgent):
                    return None
                _use(rows, channel, now_ms)
            return self._share((), waiting)

    def told(self, share: Share) -> None:
        with self._transaction() as rows:
            rows.executemany("DELETE FROM waiting WHERE id = ?", [(each,) for each in share.ids])
        self._being_told -= share.ids

    def not_told(self, share: Share) -> None:
        """They wait on. The room is gone all the same: the message may have arrived. Never waits for the disk."""
        self._being_told -= share.ids

    def _share(self, new: tuple[Notice, ...], waiting: dict[int, Notice]) -> Share:
        self._being_told |= waiting.keys()
        return Share(notices=(*new, *waiting.values()), ids=frozenset(waiting))

    def _room(self, rows: sqlite3.Connection, channel: int, now_ms: int, *, urgent: bool) -> bool:
        # Moments far ahead are of a clock that was wrong.
        rows.execute("DELETE FROM sent WHERE ABS(at_ms - ?) >= ?", (now_ms, HOUR_MS))
        (used,) = rows.execute("SELECT COUNT(*) FROM sent WHERE channel = ?", (channel,)).fetchone()
        kept_free = 0 if urgent else self._per_hour // KEPT_FREE
        return int(used) < self._per_hour - kept_free

    def _waiting(self, rows: sqlite3.Connection, channel: int) -> dict[int, Notice]:
        found = rows.execute("SELECT id, notice FROM waiting WHERE channel = ?", (channel,)).fetchall()
        return {each: Notice.model_validate_json(notice) for each, notice in found if each not in self._being_told}

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; alone among threads and processes."""
        with closing(sqlite3.connect(self._file, timeout=LOCKED_S_MAX, isolation_level=None)) as rows:
            rows.executescript(_TABLES)
            rows.execute("BEGIN IMMEDIATE")
            try:
                yield rows
            except BaseException:
                rows.rollback()
                raise
            rows.commit()


def _use(rows: sqlite3.Connection, channel: int, now_ms: int) -> None:
    rows.execute("INSERT INTO sent VALUES (?, ?)", (channel, now_ms))
