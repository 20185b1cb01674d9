import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.errors import NotSent
from exchange.nonces import AHEAD_MAX_MS, RESERVE_MS, NonceSource
from tests.exchange.drawing import SIGNER

ROOT = Path(__file__).parents[2]
NOW = 1_900_000_000_000


class Hands:
    """A clock that is set by hand."""

    def __init__(self, now_ms: int = NOW) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


@contextmanager
def source(folder: Path, clock: Hands, *, slots: int = 16, slot: int | None = None) -> Iterator[NonceSource]:
    opened = NonceSource(folder, SIGNER, slots=slots, slot=slot, now_ms=clock)
    try:
        yield opened
    finally:
        opened.close()


def drawing(folder: Path, slots: int, count: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.exchange.drawing", str(folder), str(slots), str(count)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def crash(crashed: NonceSource) -> None:
    """What the end of a process does to its files: the lock goes, nothing is written."""
    os.close(crashed._file)


def test_processes_at_once_never_draw_the_same(tmp_path: Path) -> None:
    running = [drawing(tmp_path, 4, 2_000) for _ in range(4)]
    drawn = [[int(line) for line in process.communicate(timeout=60)[0].splitlines()] for process in running]
    assert [len(each) for each in drawn] == [2_000] * 4
    assert len({nonce for each in drawn for nonce in each}) == 8_000
    for each in drawn:
        assert each == sorted(each)
        assert len({nonce % 4 for nonce in each}) == 1


def test_killed_process_never_repeats_itself_after_its_restart(tmp_path: Path) -> None:
    seen: list[int] = []
    for _ in range(3):
        process = drawing(tmp_path, 1, 0)
        assert process.stdout is not None
        seen.extend(int(process.stdout.readline()) for _ in range(50))
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
        process.wait(timeout=30)
        # The last line may be cut off in the middle.
        seen.extend(int(line) for line in rest.split("\n")[:-1])
    assert len(set(seen)) == len(seen) > 150
    assert seen == sorted(seen)


def test_clock_that_jumps_back_does_not_take_nonces_back(tmp_path: Path) -> None:
    clock = Hands()
    with source(tmp_path, clock) as first:
        drawn = [first.draw() for _ in range(5)]
        clock.now_ms -= 3_600_000
        drawn += [first.draw() for _ in range(5)]
    with source(tmp_path, clock) as second:
        drawn += [second.draw() for _ in range(5)]
    assert drawn == sorted(set(drawn))


def test_crash_skips_what_was_reserved_and_a_clean_end_does_not(tmp_path: Path) -> None:
    clock = Hands()
    with source(tmp_path, clock, slots=1) as clean:
        assert clean.draw() == NOW
    crashed = NonceSource(tmp_path, SIGNER, slots=1, now_ms=clock)
    assert NOW < crashed.draw() <= NOW + 2
    crash(crashed)
    with source(tmp_path, clock, slots=1) as after:
        assert NOW + RESERVE_MS < after.draw() <= NOW + RESERVE_MS + 5


def test_threads_never_draw_the_same(tmp_path: Path) -> None:
    drawn: list[int] = []
    with source(tmp_path, Hands(), slots=2) as shared:
        threads = [threading.Thread(target=lambda: drawn.extend(shared.draw() for _ in range(500))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(set(drawn)) == len(drawn) == 4_000


def test_slots_are_held_until_they_are_closed(tmp_path: Path) -> None:
    clock = Hands()
    with source(tmp_path, clock, slots=2) as first, source(tmp_path, clock, slots=2) as second:
        assert (first.slot, second.slot) == (0, 1)
        with pytest.raises(NotSent, match="all 2 nonce slots"):
            NonceSource(tmp_path, SIGNER, slots=2, now_ms=clock)
        with pytest.raises(NotSent, match=r"nonce slot 1 of .* is held"):
            NonceSource(tmp_path, SIGNER, slots=2, slot=1, now_ms=clock)
    with source(tmp_path, clock, slots=2, slot=1) as again:
        assert again.slot == 1
    with pytest.raises(NotSent, match="closed"):
        again.draw()


def test_signers_do_not_share_slots(tmp_path: Path) -> None:
    with source(tmp_path, Hands(), slots=1):
        other = NonceSource(tmp_path, "0x" + "0E" * 20, slots=1, now_ms=Hands())
        other.close()


def test_another_number_of_slots_starts_above_what_was_used_and_not_beside_a_running_process(tmp_path: Path) -> None:
    clock = Hands()
    with source(tmp_path, clock, slots=16) as sixteen:
        used = [sixteen.draw() for _ in range(100)]
        with pytest.raises(NotSent, match=r"nonce_slots is 3, but a running process divides .* into 16"):
            NonceSource(tmp_path, SIGNER, slots=3, now_ms=clock)
    with source(tmp_path, clock, slots=3) as three:
        assert three.draw() > max(used)


def test_mark_that_cannot_be_read_stops_the_drawing(tmp_path: Path) -> None:
    with source(tmp_path, Hands(), slots=1) as first:
        first.draw()
    (file,) = (tmp_path / "nonces" / SIGNER).glob("slot-*")
    file.write_text("12\n")
    with pytest.raises(NotSent, match="nonce mark reads"):
        NonceSource(tmp_path, SIGNER, slots=1)


def test_clock_that_was_far_ahead_is_named_and_not_followed(tmp_path: Path) -> None:
    clock = Hands(NOW + 2 * AHEAD_MAX_MS)
    with source(tmp_path, clock) as wrong:
        wrong.draw()
    clock.now_ms = NOW
    with source(tmp_path, clock) as right, pytest.raises(NotSent, match="clock is or was wrong"):
        right.draw()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.integers(-100_000, 100_000), st.sampled_from(["crash", "close"])), max_size=60), st.data())
def test_no_course_of_clock_jumps_crashes_and_restarts_repeats_a_nonce(
    tmp_path_factory: pytest.TempPathFactory, course: list[int | str], data: st.DataObject
) -> None:
    folder, clock, drawn = tmp_path_factory.mktemp("course"), Hands(), []
    slots = data.draw(st.integers(1, 5))
    current = NonceSource(folder, SIGNER, slots=slots, now_ms=clock)
    for event in course:
        if isinstance(event, int):
            clock.now_ms += event
        else:
            crash(current) if event == "crash" else current.close()
            slots = data.draw(st.integers(1, 5))
            current = NonceSource(folder, SIGNER, slots=slots, now_ms=clock)
        drawn.append(current.draw())
        assert drawn[-1] % slots == current.slot
    current.close()
    assert drawn == sorted(set(drawn))
