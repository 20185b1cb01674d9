"""Supervision: what dies is started again, what we start ends with us, one stack per folder."""

import asyncio
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cli.errors import CommandFailed
from cli.lock import StackLock
from cli.ports import Ports, is_free
from cli.processes import Child
from cli.venue import ControlApi

SLEEPER = "import sys, time; print('up', flush=True); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
PARENT = """
import asyncio, os, sys
from pathlib import Path
from cli.processes import Child

async def yes():
    return True

async def main():
    child = Child("sleeper", [sys.executable, "-c", "import time; time.sleep(600)"], log_file=Path(sys.argv[1]),
                  env=dict(os.environ), ready=yes)
    await child.start()
    print(child.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def said_up(log_file: Path) -> bool:
    return log_file.exists() and "up" in log_file.read_text()


def child_of(script: str, log_file: Path, **options: object) -> Child:
    async def ready() -> bool:
        return said_up(log_file)

    return Child(
        "test",
        [sys.executable, "-c", script],
        log_file=log_file,
        env=dict(os.environ),
        ready=ready,
        **options,  # type: ignore[arg-type]
    )


async def until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        await asyncio.sleep(0.02)


def lives(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


async def test_a_killed_child_is_started_again_and_a_stopped_one_is_not(tmp_path: Path) -> None:
    child = child_of(SLEEPER, tmp_path / "log")
    await child.start()
    await child.wait_ready()
    first = child.pid
    child.kill()
    await until(lambda: child.starts == 2 and child.pid not in (None, first))
    second = child.pid
    assert second is not None
    await child.stop()
    assert not lives(second)
    assert (child.pid, child.starts) == (None, 2)


async def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    child = child_of(STUBBORN, tmp_path / "log")
    await child.start()
    await child.wait_ready()
    pid = child.pid
    assert pid is not None
    await child.stop(grace_s=0.2)
    assert not lives(pid)


async def test_a_child_that_keeps_dying_fails_with_its_last_words(tmp_path: Path) -> None:
    child = child_of("raise SystemExit('the key is missing')", tmp_path / "log")
    await child.start()
    with pytest.raises(CommandFailed, match="the key is missing"):
        await child.wait_ready()
    await child.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a killed parent's children are found by the lock")
async def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path / "log"), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert lives(pid)
    parent.kill()
    await parent.wait()
    await until(lambda: not lives(pid))


def test_the_folder_of_a_stack_is_its_owners_alone(tmp_path: Path) -> None:
    StackLock(tmp_path / "state").release()
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


async def test_a_folder_has_one_stack_and_the_second_is_told_who_has_it(tmp_path: Path) -> None:
    first, second = StackLock(tmp_path), StackLock(tmp_path)
    first.take()
    first.name_holders({"worker": os.getpid()})
    with pytest.raises(CommandFailed, match=rf"already runs on .* \(process {os.getpid()}\)"):
        second.take()
    first.release()
    second.take()
    second.release()


async def test_a_child_that_outlives_its_stack_holds_the_folder(tmp_path: Path) -> None:
    lock = StackLock(tmp_path)
    lock.take()
    child = child_of(SLEEPER, tmp_path / "log", lock_fd=lock.fd)
    await child.start()
    await child.wait_ready()
    lock.release()
    other = StackLock(tmp_path)
    waiting = asyncio.create_task(asyncio.to_thread(other.take))
    await asyncio.sleep(0)
    assert not waiting.done()
    await child.stop()
    await waiting
    other.release()


def test_two_programs_that_look_for_free_ports_at_once_are_not_given_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    first, draw = Ports.free(), random.choice
    drawn = iter([first.temporal - 1])
    monkeypatch.setattr("cli.ports.random.choice", lambda blocks: next(drawn, None) or draw(blocks))
    assert not set(asdict(first).values()) & set(asdict(Ports.free()).values())
    assert next(drawn, None) is None


def test_a_taken_port_is_refused_with_the_option_that_changes_it() -> None:
    import socket

    ports = Ports.free()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", ports.ui))
        holder.listen()
        with pytest.raises(CommandFailed, match=rf"port {ports.ui} \(ui\) is taken, .* --ui-port"):
            ports.check_free(dict.fromkeys(("temporal", "exchange", "control"), "-") | {"ui": "--ui-port"})
    assert is_free(ports.ui)


async def test_another_program_at_the_simulators_port_is_not_taken_for_it() -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html>", content_type="text/html")

    elsewhere = web.Application()
    elsewhere.router.add_get("/{path:.*}", page)
    async with TestServer(elsewhere) as server:
        control = ControlApi(str(server.make_url("")).rstrip("/"))
        try:
            assert not await control.answers()
            with pytest.raises(CommandFailed, match="control API does not answer at http"):
                await control.state()
        finally:
            await control.close()
