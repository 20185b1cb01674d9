"""The venue's state in a SQLite file, written before an answer leaves, so what was acknowledged survives kill -9.

One transaction per request holds only the records it changed. WAL without fsync: a killed process loses nothing, a
machine that loses power may lose the last moments. A file of an older version gets the tables it lacks; records get
the fields they lack as they are read.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from simulator.records import Account, Fill, FundingPayment, FundingRate, Order
from simulator.venue import Changes, Venue

_SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (address TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS orders (oid INTEGER PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS fills (tid INTEGER, oid INTEGER, record TEXT NOT NULL, PRIMARY KEY (tid, oid));
CREATE TABLE IF NOT EXISTS nonces (signer TEXT, nonce INTEGER, PRIMARY KEY (signer, nonce)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS prices (coin TEXT PRIMARY KEY, mid TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fundings (id INTEGER PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS rates (id INTEGER PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS funded_hour (one INTEGER PRIMARY KEY, hour_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS clock (one INTEGER PRIMARY KEY, position_s REAL, start_ms INTEGER, paused INTEGER);
"""
FILE_NAME = "simulator.db"
LOCK_NAME = "simulator.lock"


class ClockState(NamedTuple):
    """Position on the path in seconds, simulated time of position 0 in ms, and whether it is held there."""

    position_s: float
    start_ms: int
    paused: bool


class StateInUse(Exception):
    """Another simulator has this state folder open."""


class Store:
    """One writer: a lock beside the file is held for as long as the store is open. Others may read meanwhile."""

    def __init__(self, state_dir: Path) -> None:
        state_dir.mkdir(parents=True, exist_ok=True)
        self.file = state_dir / FILE_NAME
        # Not SQLite's own exclusive lock: under that nobody could make a backup.
        self._lock = os.open(state_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._db = sqlite3.connect(self.file, isolation_level=None, timeout=1.0, check_same_thread=False)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=OFF")
            self._db.executescript(_SCHEMA)
        except (BlockingIOError, sqlite3.OperationalError) as error:
            self.close()
            raise StateInUse(
                f"{self.file} is open in another simulator: stop it or choose another state folder"
            ) from error

    def close(self) -> None:
        self._db.close()
        os.close(self._lock)

    def clock(self) -> ClockState | None:
        """Where the path was left; None in a new folder."""
        row = self._db.execute("SELECT position_s, start_ms, paused FROM clock").fetchone()
        return ClockState(float(row[0]), int(row[1]), bool(row[2])) if row else None

    def load(self, venue: Venue) -> None:
        """Fill an empty venue."""
        for (record,) in self._db.execute("SELECT record FROM accounts"):
            account = Account.model_validate_json(record)
            venue.accounts[account.address] = account
            venue.agents |= {agent.address: account.address for agent in account.agents.values()}
        for (record,) in self._db.execute("SELECT record FROM orders ORDER BY oid"):
            order = Order.model_validate_json(record)
            venue.last_oid = order.oid
            venue.restore_order(order)
        for (record,) in self._db.execute("SELECT record FROM fills ORDER BY tid, oid"):
            fill = Fill.model_validate_json(record)
            venue.fills_of[fill.user].append(fill)
            # A liquidation has an oid but no order.
            venue.last_oid = max(venue.last_oid, fill.oid)
        self._load_funding(venue)
        for (signer,) in self._db.execute("SELECT DISTINCT signer FROM nonces").fetchall():
            rows = self._db.execute("SELECT nonce FROM nonces WHERE signer = ?", (signer,))
            venue.nonces.restore(signer, (int(nonce) for (nonce,) in rows))
        for coin, mid in self._db.execute("SELECT coin, mid FROM prices"):
            if coin in venue.books:
                venue.books[coin].move(Decimal(mid))

    def _load_funding(self, venue: Venue) -> None:
        for (record,) in self._db.execute("SELECT record FROM fundings ORDER BY id"):
            payment = FundingPayment.model_validate_json(record)
            venue.fundings_of[payment.user].append(payment)
        for (record,) in self._db.execute("SELECT record FROM rates ORDER BY id"):
            rate = FundingRate.model_validate_json(record)
            venue.rates_of[rate.coin].append(rate)
        row = self._db.execute("SELECT hour_ms FROM funded_hour").fetchone()
        venue.funded_hour_ms = int(row[0]) if row else None

    def save(self, venue: Venue, changes: Changes, clock: ClockState) -> None:
        """All of `changes` or nothing."""
        db = self._db
        db.execute("BEGIN")
        try:
            self._save_records(venue, changes)
            db.execute("INSERT OR REPLACE INTO clock VALUES (1, ?, ?, ?)", clock)
        except sqlite3.Error:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")

    def _save_records(self, venue: Venue, changes: Changes) -> None:
        self._many(
            "INSERT OR REPLACE INTO accounts VALUES (?, ?)",
            [(address, venue.accounts[address].model_dump_json()) for address in changes.accounts],
        )
        self._many(
            "INSERT OR REPLACE INTO orders VALUES (?, ?)",
            [(oid, venue.orders[oid].model_dump_json()) for oid in changes.orders],
        )
        self._many(
            "INSERT OR REPLACE INTO fills VALUES (?, ?, ?)",
            [(fill.tid, fill.oid, fill.model_dump_json()) for fill in changes.fills],
        )
        self._many("INSERT INTO nonces VALUES (?, ?)", [(signer, nonce) for signer, nonce, _ in changes.nonces])
        dropped = [(signer, old) for signer, _, old in changes.nonces if old is not None]
        self._many("DELETE FROM nonces WHERE signer = ? AND nonce = ?", dropped)
        self._many(
            "INSERT OR REPLACE INTO prices VALUES (?, ?)",
            [(coin, str(venue.books[coin].mid)) for coin in changes.prices],
        )
        self._many("INSERT INTO fundings (record) VALUES (?)", [(each.model_dump_json(),) for each in changes.fundings])
        self._many("INSERT INTO rates (record) VALUES (?)", [(each.model_dump_json(),) for each in changes.rates])
        if changes.funded_hour:
            self._db.execute("INSERT OR REPLACE INTO funded_hour VALUES (1, ?)", (venue.funded_hour_ms,))

    def _many(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        listed = list(rows)
        if listed:
            self._db.executemany(statement, listed)
