import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO

import pytest

from cli import main
from tests.stack import Floor, running_stack


@dataclass(frozen=True)
class Finished:
    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line on stderr; fails if there are more, or a traceback."""
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: "), self.err
        return lines[0].removeprefix("error: ")


async def hypertrader(*arguments: str, env: Mapping[str, str]) -> Finished:
    """Run the command line to its end, in this process: a process of its own takes seconds to load each time."""
    return await asyncio.to_thread(_run_here, arguments, env)


def _run_here(arguments: Sequence[str], env: Mapping[str, str]) -> Finished:
    around = dict(os.environ)
    out, err = StringIO(), StringIO()
    try:
        os.environ.clear()
        os.environ.update(env)
        with redirect_stdout(out), redirect_stderr(err):
            code = main.run(arguments)
    finally:
        os.environ.clear()
        os.environ.update(around)
    return Finished(code, out.getvalue(), err.getvalue())


async def hypertrader_process(*arguments: str, env: Mapping[str, str]) -> Finished:
    """As a process of its own, to the exit code."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cli.main",
        *arguments,
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Finished(process.returncode, out.decode(), err.decode())


@pytest.fixture(scope="module")
async def floor(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Floor]:
    async with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running
