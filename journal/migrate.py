"""Brings a database to the current schema. Safe when many processes start at once: one migrates, the others wait."""

import asyncio
from pathlib import Path
from weakref import WeakKeyDictionary

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import OperationalError

from journal.engine import LOCK_TIMEOUT_S, create_engine, parse_url, sorted_failures

MIGRATIONS = Path(__file__).parent / "migrations"
_one_at_a_time: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
"""Alembic keeps what it works on in globals."""
# Any number that no one else on the same PostgreSQL locks: the letters "journal" as bytes.
_ADVISORY_LOCK = int.from_bytes(b"journal")


async def upgrade(url: str) -> None:
    """Create or migrate the tables; does nothing on a current database.

    The migrations run in one transaction: a process that dies on the way leaves the schema it found.
    Raises JournalUnavailable when the database can't be asked.
    """
    parsed = parse_url(url)
    with sorted_failures(parsed):
        if parsed.drivername.startswith("sqlite"):
            await _use_wal(parsed)
        # IMMEDIATE takes SQLite's write lock before the version is read, as the advisory lock does on PostgreSQL.
        engine = create_engine(parsed, begin="BEGIN IMMEDIATE")
        try:
            async with engine.begin() as connection:
                if connection.dialect.name == "postgresql":
                    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
                async with _one_at_a_time.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
                    await connection.run_sync(_upgrade)
        finally:
            await engine.dispose()


def alembic_config() -> Config:
    """Alembic's configuration without an ini file."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(connection: Connection) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def _use_wal(url: URL) -> None:
    """Switch to the write-ahead log: readers and the writer don't hold each other up. It stays in the file."""
    engine = create_engine(url, begin="")
    deadline_s = asyncio.get_running_loop().time() + LOCK_TIMEOUT_S
    try:
        while True:
            try:
                async with engine.connect() as connection:
                    await connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                return
            except OperationalError as error:
                # Of those who switch at the same moment only one gets the file; SQLite's own lock timeout is not
                # waited out here.
                if "locked" not in str(error) or asyncio.get_running_loop().time() > deadline_s:
                    raise
                await asyncio.sleep(0.01)
    finally:
        await engine.dispose()
