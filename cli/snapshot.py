"""What of the state folder goes into a backup, and how it is copied while everything runs.

By name, so that a key somebody keeps there never does: what is not known here is left out, and said to be.
"""

import hashlib
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

from pydantic import BaseModel

from cli.errors import CommandFailed
from cli.lock import LOCK_FILE
from exchange.network import PAPER_KEY
from journal.engine import parse_url
from settings import Settings

TEMPORAL, JOURNAL, SIMULATOR = "temporal.db", "journal.db", "simulator.db"
DATABASES = (TEMPORAL, JOURNAL, SIMULATOR)
"""In this order: see `pinned`."""
PLAIN = re.compile(
    r"nonces/0x[0-9a-f]{40}/slot-\d+-of-\d+"  # marks below which nonces may be used; who holds a slot is not in them
    r"|worker-0x[0-9a-f]{40}\.alive"  # since when no worker was there
    r"|stop-all-\d+\.json"
    r"|plans/[^/.][^/]*/\d+\.yaml"
)
NEVER = re.compile(
    rf"{PAPER_KEY}.*|{LOCK_FILE}|simulator\.lock|logs/.*|nonces/[^/]+/lock|.*\.db-(wal|shm)|plans/.*/\..*"
)
"""Keys, locks and logs. Of what a database has beside it, the copy needs nothing."""
BUSY_S = 30.0


class Copied(BaseModel):
    """`name` is relative to the state folder; `took_s` is what it took to copy and check it for the backup."""

    name: str
    size: int
    sha256: str
    took_s: float


def known(name: str) -> bool:
    """Whether a backup may hold a file of this name."""
    return name in DATABASES or PLAIN.fullmatch(name) is not None


def unknown_files(folder: Path) -> list[str]:
    """What is left out because nobody knows what it is."""
    return [name for name in _names(folder) if not known(name) and not NEVER.fullmatch(name)]


def databases(settings: Settings) -> dict[str, Path]:
    """Those that are files and are there."""
    found = {name: settings.state_dir / name for name in DATABASES if name != JOURNAL}
    journal = parse_url(settings.journal)
    if journal.drivername.startswith("sqlite"):
        found[JOURNAL] = Path(journal.database or "")
    return {name: found[name] for name in DATABASES if name in found and found[name].is_file()}


def copy_state(settings: Settings, into: Path) -> list[Copied]:
    """Copy and check all there is. Raises CommandFailed where a database can't be read or its copy is damaged."""
    with pinned(databases(settings)) as sources:
        copied = [_copy(into, name, partial(_copy_database, db)) for name, db in sources.items()]
    # After Temporal, like everything else: no nonce that it knows of is above the marks.
    for name in _names(settings.state_dir):
        if PLAIN.fullmatch(name):
            copied.append(_copy(into, name, partial(shutil.copy2, settings.state_dir / name)))
    return copied


@contextmanager
def pinned(files: dict[str, Path]) -> Iterator[dict[str, sqlite3.Connection]]:
    """All databases as they are now, one moment after the other; what is written later is not seen.

    Temporal's comes first, and nothing else may be older than it:
    - the exchange may be ahead of a trade: an order on its way is settled by its nonce and cloid, more is a difference
      that the trade finds at its first look. Behind, it would have lost what it acknowledged.
    - the journal may be ahead: what a trade has not heard to be written it writes again, the same under the same
      number. Behind, it would have a hole: a trade never writes again what it knows to be written.
    """
    with ExitStack() as stack:
        sources: dict[str, sqlite3.Connection] = {}
        for name, file in files.items():
            with _readable(file):
                # Not read-only: after a kill the log has to be recovered before it can be read.
                connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_S)
                stack.enter_context(closing(connection))
                connection.isolation_level = None
                connection.execute("BEGIN")
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            sources[name] = connection
        yield sources


def check_database(file: Path) -> None:
    """Raises CommandFailed where SQLite finds it damaged."""
    with _readable(file), closing(sqlite3.connect(file)) as connection:
        (word,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if word != "ok":
        raise CommandFailed(f"{file.name} is damaged ({word}): use another backup; of a running system see its disk")


def sha256_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise CommandFailed(f"{file} can't be read as a database: {error}") from error


def _copy(into: Path, name: str, copy: Callable[[Path], object]) -> Copied:
    started_s, target = time.monotonic(), into / name
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    copy(target)
    return Copied(
        name=name, size=target.stat().st_size, sha256=sha256_of(target), took_s=round(time.monotonic() - started_s, 3)
    )


def _copy_database(source: sqlite3.Connection, target: Path) -> None:
    with _readable(target), closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
    check_database(target)


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
