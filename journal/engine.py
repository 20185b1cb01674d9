"""Connections to the journal's database, and the one place that sorts its failures."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import URL, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from journal.errors import JournalError, JournalUnavailable

LOCK_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 30.0

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}


def parse_url(url: str) -> URL:
    """The URL with its driver. Raises JournalError for a database that is not SQLite in a file or PostgreSQL."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        # The text itself may hold a password, so it is not repeated.
        raise JournalError(
            "journal URL can't be read: sqlite:///PATH or postgresql://USER@HOST/NAME is allowed"
        ) from error
    driver = _DRIVERS.get(parsed.drivername)
    if driver is None:
        raise JournalError(f"journal URL begins with {parsed.drivername!r}: sqlite or postgresql is allowed")
    if driver.startswith("sqlite") and parsed.database in (None, "", ":memory:"):
        raise JournalError(f"journal URL is {url!r}: SQLite needs a file, memory forgets")
    return parsed.set(drivername=driver)


def create_engine(url: URL, *, begin: str = "BEGIN") -> AsyncEngine:
    """An engine with durable commits.

    `begin` is for SQLite, where a transaction that reads before it writes needs BEGIN IMMEDIATE.
    """
    if url.drivername.startswith("postgresql"):
        timeouts = {"timeout": CONNECT_TIMEOUT_S, "command_timeout": ANSWER_TIMEOUT_S}
        return create_async_engine(url, pool_pre_ping=True, connect_args=timeouts)
    assert url.database is not None, "parse_url refuses SQLite without a file"
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(url, connect_args={"timeout": LOCK_TIMEOUT_S})

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # The driver must not begin transactions by its own ideas: it commits before DDL.
        connection.isolation_level = None
        cursor = connection.cursor()
        # With FULL, a commit is on the disk when it is acknowledged, also over a power cut.
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin_transaction(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine


@contextmanager
def sorted_failures(url: URL) -> Iterator[None]:
    """Turns whatever says that the database can't be asked now into JournalUnavailable; all else goes through."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout, OSError, TimeoutError, asyncpg.PostgresError) as error:
        # The asyncpg dialect wraps what queries raise; what connecting raises comes as it is.
        raise _unavailable(url, error) from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise _unavailable(url, error) from error


def _unavailable(url: URL, error: BaseException) -> JournalUnavailable:
    cause = getattr(error, "orig", None) or error
    reason = str(cause).strip() or type(cause).__name__
    return JournalUnavailable(f"journal {url.render_as_string(hide_password=True)} is not available: {reason}")
