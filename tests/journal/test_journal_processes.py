"""The journal under other processes: killed writers, migrations at the same moment, a database that goes away."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

import journal.engine
from journal.engine import create_engine, parse_url
from journal.entries import AlertRecord, TradeRef
from journal.errors import JournalUnavailable
from journal.migrate import upgrade
from journal.schema import metadata
from journal.store import Journal

ROOT = Path(__file__).parents[2]
BATCH = 25
WAIT_S = 30.0
TRADE = TradeRef(
    trade_id="trade-SOL/1", workflow_id="trade-SOL", coin="SOL", account="0x1", network="paper", opened_at_ms=1
)

WRITER = f"""
import asyncio, sys
from itertools import count
from journal.entries import AlertRecord, TradeRef
from journal.store import Journal

async def write(url):
    trade = TradeRef.model_validate_json({TRADE.model_dump_json()!r})
    journal = Journal(url)
    await journal.open()
    for start in count(0, {BATCH}):
        seqs = range(start, start + {BATCH})
        await journal.append(trade, [AlertRecord(seq=seq, at_ms=seq, text="x" * 500) for seq in seqs])
        print(start + {BATCH}, flush=True)

asyncio.run(write(sys.argv[1]))
"""

MIGRATOR = """
import asyncio, sys
from journal.migrate import upgrade

print("ready", flush=True)
sys.stdin.readline()
asyncio.run(upgrade(sys.argv[1]))
"""


@contextmanager
def process(program: str, url: str) -> Iterator["subprocess.Popen[str]"]:
    running = subprocess.Popen(
        [sys.executable, "-c", program, url],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def alerts(count: int) -> list[AlertRecord]:
    return [AlertRecord(seq=seq, at_ms=seq, text="x" * 500) for seq in range(count)]


async def test_writer_killed_mid_append_leaves_whole_batches_and_all_it_was_told(url: str) -> None:
    for wanted in (1, 4, 9):
        with process(WRITER, url) as writer:
            assert writer.stdout is not None
            acknowledged = 0
            for _ in range(wanted):
                line = await asyncio.to_thread(writer.stdout.readline)
                assert line, writer.stderr and writer.stderr.read()
                acknowledged = int(line)
            os.kill(writer.pid, signal.SIGKILL)
            acknowledged = max([acknowledged, *map(int, writer.communicate()[0].split())])
        journal = Journal(url)
        await journal.open()
        standing = [line.entry for line in await journal.history("trade-SOL")]
        assert len(standing) >= acknowledged
        assert len(standing) % BATCH == 0
        # Whoever comes next writes the same again and goes on from there.
        await journal.append(TRADE, alerts(len(standing) + BATCH))
        assert [line.entry for line in await journal.history("trade-SOL")] == alerts(len(standing) + BATCH)
        await journal.close()


async def test_processes_that_start_at_once_migrate_once(url: str) -> None:
    with process(MIGRATOR, url) as one, process(MIGRATOR, url) as two, process(MIGRATOR, url) as three:
        for each in (one, two, three):
            assert each.stdout is not None
            assert await asyncio.to_thread(each.stdout.readline) == "ready\n"
        for each in (one, two, three):
            assert each.stdin is not None
            each.stdin.write("\n")
            each.stdin.flush()
        for each in (one, two, three):
            _, errors = await asyncio.to_thread(each.communicate, timeout=WAIT_S)
            assert each.returncode == 0, errors
    journal = Journal(url)
    await journal.open()
    assert await journal.trades() == []
    await journal.close()


async def test_journals_of_one_process_open_at_once(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path / f'journal-{number}.db'}" for number in range(20)]
    await asyncio.gather(*(upgrade(url) for url in urls))
    for url in urls:
        journal = Journal(url)
        await journal.open()
        assert await journal.trades() == []
        await journal.close()


async def test_tables_are_what_the_schema_says(url: str) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))

    await upgrade(url)
    engine = create_engine(parse_url(url))
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_migration_that_fails_leaves_the_database_as_it_was(url: str) -> None:
    engine = create_engine(parse_url(url))
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE entries (mine INTEGER)"))
    with pytest.raises(Exception, match="entries"):
        await upgrade(url)
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE entries"))
    await upgrade(url)
    await engine.dispose()


async def test_sqlite_uses_the_write_ahead_log(tmp_path: Path) -> None:
    file = tmp_path / "journal.db"
    await upgrade(f"sqlite:///{file}")
    connection = sqlite3.connect(file)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


@pytest.fixture
async def short_lock_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal.engine, "LOCK_TIMEOUT_S", 0.05)


@pytest.mark.usefixtures("short_lock_timeout")
async def test_file_locked_by_another_is_unavailable_until_it_is_let_go(tmp_path: Path) -> None:
    store = Journal(f"sqlite:///{tmp_path / 'journal.db'}")
    await store.open()
    blocker = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalUnavailable, match="locked"):
        await store.append(TRADE, alerts(1))
    assert await store.history("trade-SOL") == [], "readers are not held up by a writer"
    blocker.execute("ROLLBACK")
    blocker.close()
    await store.append(TRADE, alerts(1))
    assert len(await store.history("trade-SOL")) == 1
    await store.close()


@pytest.fixture
async def crashed_and_back(postgres: Any) -> AsyncIterator[Any]:
    yield postgres
    await (await postgres.connect()).close()


async def test_postgresql_that_crashes_is_unavailable_and_loses_nothing_it_acknowledged(
    crashed_and_back: Any,
) -> None:
    server = crashed_and_back
    store = Journal(await server.new_database())
    await store.open()
    await store.append(TRADE, alerts(3))
    server.kill()
    for _ in range(2):
        with pytest.raises(JournalUnavailable, match="is not available"):
            await store.append(TRADE, alerts(5))
        with pytest.raises(JournalUnavailable):
            await store.trades()
    with pytest.raises(JournalUnavailable):
        await Journal(server.url("postgres")).open()
    server.start()
    await (await server.connect()).close()
    await store.append(TRADE, alerts(5))
    assert [line.entry for line in await store.history("trade-SOL")] == alerts(5)
    await store.close()


async def test_connection_cut_by_the_server_is_not_noticed_by_the_next_append(postgres: Any) -> None:
    url = await postgres.new_database()
    store = Journal(url)
    await store.open()
    await store.append(TRADE, alerts(1))
    administrator = await postgres.connect()
    cut = await administrator.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname LIKE 'journal_%'"
    )
    await administrator.close()
    assert cut >= 1
    await store.append(TRADE, alerts(2))
    assert len(await store.history("trade-SOL")) == 2
    await store.close()


def test_entries_can_be_imported_by_workflows_without_any_database() -> None:
    program = "import sys, journal.entries; print([name for name in sys.modules if name.split('.')[0] in %r])"
    banned = ("sqlalchemy", "alembic", "asyncpg", "aiosqlite", "sqlite3")
    command = [sys.executable, "-c", program % (banned,)]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=WAIT_S)
    assert shown.stdout == "[]\n"
