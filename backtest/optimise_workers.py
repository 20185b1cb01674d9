"""Many runs over the same prices, on as many processes as are wanted. The prices are loaded once and shared."""

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from itertools import chain, groupby, islice
from types import TracebackType
from typing import Self

from backtest.optimise_rank import Trial
from backtest.optimise_space import Params
from backtest.prices import Span, Stretch
from backtest.result import Figures
from backtest.setup import CannotOpenError, Setup, TooFineError

Run = Callable[[Sequence[Setup], Stretch], list[Figures]]
"""Several setups over some prices; raises CannotOpenError, TooFineError. Processes have to find it by its name."""
Task = tuple[Params, Setup, Span]

_CHUNK = 8
"""Tasks handed out together: they share what holding came to, and are a short wait for whoever watches."""


class Workers:
    """A context: its processes live from the first search to its end. With one job everything happens in this one."""

    def __init__(self, run: Run, prices: Stretch, jobs: int) -> None:
        self._run, self._prices, self._jobs = run, prices, jobs
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def trials(self, tasks: Iterable[Task]) -> Iterator[Trial]:
        """As they are done, in any order. Left early, those not begun are dropped."""
        chunks = _chunks(tasks)
        first = next(chunks, None)
        if first is None:
            return
        chunks = chain([first], chunks)
        if self._jobs == 1:
            for chunk in chunks:
                yield from _trials(self._run, self._prices, chunk)
        else:
            self._pool = self._pool or self._begun(first[0])
            yield from _as_done(self._pool, chunks, ahead=3 * self._jobs)

    def _begun(self, task: Task) -> ProcessPoolExecutor:
        # What a first run compiles or loads, all processes inherit.
        _trials(self._run, self._prices.rows(0, 2), [task])
        # A forked process has the prices as they are in memory; elsewhere each is sent a copy once. The executor forks
        # all of them before its own threads begin, and they only count.
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        return ProcessPoolExecutor(
            self._jobs, mp_context=context, initializer=_begin, initargs=(self._run, self._prices)
        )


def _chunks(tasks: Iterable[Task]) -> Iterator[list[Task]]:
    """Neighbours in the space with the same leverage over the same prices."""
    for _, alike in groupby(tasks, lambda task: (task[0].leverage, task[2])):
        while chunk := list(islice(alike, _CHUNK)):
            yield chunk


def _as_done(pool: ProcessPoolExecutor, chunks: Iterator[list[Task]], ahead: int) -> Iterator[Trial]:
    """Only a few chunks lie ready at a time: a large space takes no memory, and leaving early no time."""
    waiting = {pool.submit(_trials_here, chunk) for chunk in islice(chunks, ahead)}
    try:
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            waiting |= {pool.submit(_trials_here, chunk) for chunk in islice(chunks, len(done))}
            for future in done:
                yield from future.result()
    finally:
        for future in waiting:
            future.cancel()


_shared: tuple[Run, Stretch] | None = None
"""What this worker process was begun with."""


def _begin(run: Run, prices: Stretch) -> None:
    global _shared
    _shared = run, prices
    # Ctrl-C is for the process that shows the progress: it stops handing out work.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _trials_here(chunk: list[Task]) -> list[Trial]:
    assert _shared
    return _trials(*_shared, chunk)


def _trials(run: Run, prices: Stretch, chunk: list[Task]) -> list[Trial]:
    """Of tasks over the same span."""
    seen = prices.between(chunk[0][2])
    try:
        found = run([setup for _, setup, _ in chunk], seen)
        return [Trial(params, figures) for (params, _, _), figures in zip(chunk, found, strict=True)]
    except (CannotOpenError, TooFineError) as error:
        if len(chunk) == 1:
            return [Trial(chunk[0][0], None, str(error))]
        # One of them can't be opened: each for itself tells which.
        return [trial for task in chunk for trial in _trials(run, prices, [task])]
