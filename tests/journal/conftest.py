"""The journal's databases: SQLite in a file, and a real PostgreSQL that the suite starts for itself."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from journal.store import Journal

MISSING = "no PostgreSQL server on this machine: install Debian's package `postgresql` (initdb and postgres are needed)"
START_TIMEOUT_S = 30.0


class PostgresServer:
    """A PostgreSQL in a folder of its own, on a Unix socket in it, gone without a trace at the end."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._process: subprocess.Popen[bytes] | None = None
        # The server refuses to run as root; then it runs as a user who owns nothing else.
        owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        self._uid, self._gid, self.user = owner.pw_uid, owner.pw_gid, owner.pw_name
        self._folder = Path(tempfile.mkdtemp(prefix="journal-postgres-"))
        os.chown(self._folder, self._uid, self._gid)
        self._run("initdb", "-D", "data", "-A", "trust", "-U", self.user, "-E", "UTF8", "--locale=C", "--no-sync")

    def start(self) -> None:
        command = ["postgres", "-D", "data", "-k", str(self._folder), "-c", "listen_addresses=", "-c", "fsync=off"]
        self._process = self._spawn(*command)

    def kill(self) -> None:
        """SIGQUIT: connections are cut at once, as in a crash, and shared memory is still cleaned up."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(START_TIMEOUT_S)
            self._process = None

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self._folder)

    def url(self, database: str) -> str:
        return f"postgresql://{self.user}@/{database}?host={self._folder}"

    async def connect(self, database: str = "postgres") -> asyncpg.Connection:
        """Waits until the server takes connections."""
        assert self._process is not None
        deadline = asyncio.get_running_loop().time() + START_TIMEOUT_S
        while True:
            try:
                return await asyncpg.connect(host=str(self._folder), user=self.user, database=database)
            except (OSError, asyncpg.CannotConnectNowError) as error:
                if self._process.poll() is not None or asyncio.get_running_loop().time() > deadline:
                    raise AssertionError(f"PostgreSQL does not start: {self._log.read_text()}") from error
                await asyncio.sleep(0.02)

    async def new_database(self) -> str:
        """URL of an empty database."""
        name = f"journal_{uuid.uuid4().hex[:12]}"
        connection = await self.connect()
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()
        return self.url(name)

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _spawn(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [str(self._binaries / name), *arguments],
                cwd=self._folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
                user=self._uid if os.geteuid() == 0 else None,
                group=self._gid if os.geteuid() == 0 else None,
                extra_groups=[] if os.geteuid() == 0 else None,
            )

    def _run(self, name: str, *arguments: str) -> None:
        code = self._spawn(name, *arguments).wait(START_TIMEOUT_S)
        assert code == 0, f"{name} failed: {self._log.read_text()}"


def find_binaries() -> Path | None:
    """The folder that has both `initdb` and `postgres`: on PATH, else where Debian puts them, newest first."""
    on_path = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep)]
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name), reverse=True)
    for folder in [*on_path, *debian]:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            # initdb looks for postgres beside itself, links are followed.
            return (folder / "initdb").resolve().parent
    return None


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    binaries = find_binaries()
    if binaries is None:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    server = PostgresServer(binaries)
    server.start()
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state' / 'journal.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return await server.new_database()


@pytest.fixture
async def journal(url: str) -> AsyncIterator[Journal]:
    opened = Journal(url)
    await opened.open()
    yield opened
    await opened.close()
