"""Backups and restores without a stack: what is in them, and what is refused with the folder as it was."""

import json
import os
import sqlite3
import stat
import tarfile
import time
from collections.abc import Callable
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from cli.lock import StackLock
from cli.snapshot import databases, pinned
from exchange.network import load_key
from settings import Settings
from simulator.store import Store
from tests.cli.conftest import Finished, hypertrader
from tests.stack import environment

SLOT = "nonces/0x{0}/slot-0-of-16"
SIGNER = "ab" * 20


class Place:
    """A state folder as a stopped stack leaves it, and a file for its backup."""

    def __init__(self, folder: Path) -> None:
        self.state, self.file = folder / "state", folder / "saved.tar.gz"
        self.settings = Settings(state_dir=self.state)
        load_key(self.settings)
        for name in ("temporal.db", "journal.db", "simulator.db"):
            self.write(name, 1)
        for name, text in {
            SLOT.format(SIGNER): "00000001795304337984\n",
            f"nonces/0x{SIGNER}/lock": "",
            f"worker-0x{SIGNER}.alive": "",
            "plans/mine/1.yaml": "name: mine\n",
            "logs/worker.log": "a line\n",
            "wallet.txt": "secret\n",
        }.items():
            path = self.state / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        os.utime(self.state / f"worker-0x{SIGNER}.alive", (1_000_000_000, 1_000_000_000))

    def write(self, name: str, number: int) -> None:
        with closing(sqlite3.connect(self.state / name)) as database, database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("CREATE TABLE IF NOT EXISTS numbers (number INTEGER)")
            database.execute("INSERT INTO numbers VALUES (?)", (number,))

    def numbers(self, name: str) -> list[int]:
        with closing(sqlite3.connect(self.state / name)) as database:
            return [number for (number,) in database.execute("SELECT number FROM numbers ORDER BY number")]

    async def run(self, *words: str, **variables: str) -> Finished:
        return await hypertrader(*words, env=environment(self.settings) | variables)

    async def saved(self) -> dict[str, Any]:
        done = await self.run("backup", str(self.file), "--json")
        assert done.code == 0, done.err
        found: dict[str, Any] = json.loads(done.out)
        return found

    def names(self) -> set[str]:
        return {path.relative_to(self.state).as_posix() for path in self.state.rglob("*") if path.is_file()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def repacked(file: Path, change: Callable[[str, bytes], tuple[str, bytes] | None], *more: tarfile.TarInfo) -> None:
    """The same archive with each member's name and content changed, or left out."""
    with tarfile.open(file) as tar:
        members = [(each.name, tar.extractfile(each)) for each in tar]
        found = [(name, source.read()) for name, source in members if source is not None]
    with tarfile.open(file, "w:gz") as tar:
        for made in (change(name, text) for name, text in found):
            if made is not None:
                member = tarfile.TarInfo(made[0])
                member.size = len(made[1])
                tar.addfile(member, BytesIO(made[1]))
        for extra in more:
            tar.addfile(extra)


async def test_a_backup_has_the_state_and_neither_keys_nor_locks_nor_logs(place: Place) -> None:
    told = await place.saved()
    with tarfile.open(place.file) as tar:
        names = tar.getnames()
    assert names[0] == "manifest.json"
    assert set(names[1:]) == {
        "temporal.db",
        "journal.db",
        "simulator.db",
        SLOT.format(SIGNER),
        f"worker-0x{SIGNER}.alive",
        "plans/mine/1.yaml",
    }
    assert stat.S_IMODE(place.file.stat().st_mode) == 0o600
    assert any("wallet.txt" in line for line in told["not_in_it"]), "what nobody knows is left out, and named"
    assert [path.name for path in place.file.parent.iterdir() if path.name.startswith(".")] == []


async def test_a_restore_brings_back_what_was_there_and_keeps_what_is(place: Place) -> None:
    await place.saved()
    place.write("journal.db", 2)
    key = load_key(place.settings).address
    refused = await place.run("restore", str(place.file))
    assert "holds a state already" in refused.error and place.numbers("journal.db") == [1, 2]

    done = await place.run("restore", str(place.file), "--force", "--json")
    assert done.code == 0, done.err
    assert place.numbers("journal.db") == [1]
    assert load_key(place.settings).address == key
    assert (place.state / f"worker-0x{SIGNER}.alive").stat().st_mtime == 1_000_000_000
    assert stat.S_IMODE(place.state.stat().st_mode) == 0o700
    aside = Path(json.loads(done.out)["moved_aside"])
    with closing(sqlite3.connect(aside / "journal.db")) as former:
        assert former.execute("SELECT count(*) FROM numbers").fetchone() == (2,)


async def test_only_the_simulators_books_stay_when_they_are_kept(place: Place) -> None:
    await place.saved()
    for name in ("temporal.db", "simulator.db"):
        place.write(name, 2)
    assert (await place.run("restore", str(place.file), "--force", "--keep-simulator")).code == 0
    assert (place.numbers("temporal.db"), place.numbers("simulator.db")) == ([1], [1, 2])


async def test_a_folder_with_nothing_but_its_key_needs_no_force(place: Place) -> None:
    await place.saved()
    key = (place.state / "paper.key").read_text()
    place.state.rename(place.state.with_name("lost"))
    refused = await place.run("restore", str(place.file))
    assert "here is no key: put its key to" in refused.error

    place.state.mkdir(exist_ok=True)
    (place.state / "paper.key").write_text(key)
    (place.state / "paper.key").chmod(0o600)
    assert (await place.run("restore", str(place.file))).code == 0
    assert (place.state / "paper.key").read_text() == key and place.numbers("temporal.db") == [1]
    assert sorted(path.name for path in place.state.parent.iterdir()) == ["lost", "saved.tar.gz", "state"]


async def test_an_archive_is_replaced_by_force_only(place: Place) -> None:
    await place.saved()
    before = place.file.read_bytes()
    assert "exists: choose another name" in (await place.run("backup", str(place.file))).error
    assert place.file.read_bytes() == before
    assert (await place.run("backup", str(place.file), "--force")).code == 0


def evil(name: str, text: bytes) -> tuple[str, bytes]:
    return ("../../evil.db", text) if name == "journal.db" else (name, text)


def flipped(name: str, text: bytes) -> tuple[str, bytes]:
    return (name, text[:-1] + bytes([text[-1] ^ 1])) if name == "journal.db" else (name, text)


def longer(name: str, text: bytes) -> tuple[str, bytes]:
    return (name, text + b"x") if name == "plans/mine/1.yaml" else (name, text)


def short_of_one(name: str, text: bytes) -> tuple[str, bytes] | None:
    return None if name == "temporal.db" else (name, text)


def of_the_future(name: str, text: bytes) -> tuple[str, bytes]:
    return (name, text.replace(b'"format": 1', b'"format": 2')) if name == "manifest.json" else (name, text)


def made_tomorrow(name: str, text: bytes) -> tuple[str, bytes]:
    if name != "manifest.json":
        return name, text
    return name, json.dumps(json.loads(text) | {"made_at_ms": int((time.time() + 86_400) * 1000)}).encode()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (evil, "holds '../../evil.db', which no backup does"),
        (flipped, "journal.db is not what was backed up"),
        (longer, "plans/mine/1.yaml is not what was backed up"),
        (short_of_one, "temporal.db missing"),
        (of_the_future, "has format 2, 1 is known"),
        (made_tomorrow, "set the clock"),
    ],
)
async def test_a_changed_archive_is_refused(
    place: Place, change: Callable[[str, bytes], tuple[str, bytes] | None], said: str
) -> None:
    await place.saved()
    repacked(place.file, change)
    there = place.names()
    assert said in (await place.run("restore", str(place.file), "--force")).error
    assert place.names() == there and not list(place.state.parent.parent.rglob("evil.db"))


async def test_a_link_in_an_archive_is_refused(place: Place) -> None:
    await place.saved()
    link = tarfile.TarInfo("stop-all-1.json")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    repacked(place.file, lambda name, text: (name, text), link)
    assert "holds 'stop-all-1.json', which no backup does" in (await place.run("restore", str(place.file))).error


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.9])
async def test_an_archive_that_was_cut_off_is_refused(place: Place, share: float) -> None:
    await place.saved()
    whole = place.file.read_bytes()
    place.file.write_bytes(whole[: round(share * len(whole))])
    assert str(place.file) in (await place.run("restore", str(place.file), "--force")).error
    assert place.numbers("temporal.db") == [1]


async def test_a_damaged_database_is_not_backed_up(place: Place) -> None:
    with (place.state / "journal.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)
    assert "journal.db" in (await place.run("backup", str(place.file))).error
    assert not place.file.exists()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"HYPERTRADER_NETWORK": "testnet"}, "is of network paper, the settings say testnet"),
        ({"HYPERTRADER_ACCOUNT": "0x" + "cd" * 20}, "the settings say 0x" + "cd" * 20),
    ],
)
async def test_another_network_or_account_is_refused(place: Place, variables: dict[str, str], said: str) -> None:
    await place.saved()
    assert said in (await place.run("restore", str(place.file), "--force", **variables)).error


async def test_nothing_is_restored_under_a_running_stack(place: Place) -> None:
    await place.saved()
    lock = StackLock(place.state)
    lock.take()
    lock.name_holders({})
    try:
        refused = await place.run("restore", str(place.file), "--force")
    finally:
        lock.release()
    assert "a stack already runs on" in refused.error


async def test_nothing_is_restored_under_a_simulator_without_a_stack(place: Place) -> None:
    await place.saved()
    (place.state / "simulator.db").unlink()
    store = Store(place.state)
    try:
        refused = await place.run("restore", str(place.file), "--force")
        assert "a simulator runs on" in refused.error
        # Its books are read while it runs.
        assert (await place.run("backup", str(place.file), "--force")).code == 0
    finally:
        store.close()


async def test_a_journal_in_postgresql_is_named_and_its_password_is_not(place: Place) -> None:
    (place.state / "journal.db").unlink()
    url = "postgresql://me:hush@db.example/trades"
    done = await place.run("backup", str(place.file), HYPERTRADER_JOURNAL_URL=url)
    assert done.code == 0 and "pg_dump -h db.example -d trades" in done.out and "hush" not in done.out


async def test_temporal_of_its_own_is_named(place: Place) -> None:
    (place.state / "temporal.db").unlink()
    assert "Temporal at 127.0.0.1:7233 keeps its own database" in (await place.run("backup", str(place.file))).out


def test_what_is_written_after_all_were_pinned_is_not_seen(place: Place) -> None:
    with pinned(databases(place.settings)) as sources:
        assert list(sources) == ["temporal.db", "journal.db", "simulator.db"], "Temporal first: nothing may be older"
        for name, source in sources.items():
            place.write(name, 2)
            with closing(sqlite3.connect(":memory:")) as copy:
                source.backup(copy)
                assert copy.execute("SELECT number FROM numbers").fetchall() == [(1,)]
