"""Many runs over the same prices, on as many processes as are wanted. The prices are loaded once and shared."""

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from types import TracebackType
from typing import Self

from backtest.optimise_rank import Trial
from backtest.optimise_space import Params
from backtest.prices import Span, Stretch
from backtest.result import Figures
from backtest.setup import CannotOpenError, Setup

Run = Callable[[Setup, Stretch], Figures]
"""One configuration over some prices; raises CannotOpenError. At the top of a module, so that a process can find it."""
Task = tuple[Params, Setup, Span]


class Workers:
    """A context: the processes live as long as it does. With one job everything happens in this process."""

    def __init__(self, run: Run, prices: Stretch, jobs: int) -> None:
        self._run, self._prices = run, prices
        self._pool = _pool(run, prices, jobs) if jobs > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def trials(self, tasks: Sequence[Task]) -> Iterator[Trial]:
        """As they are done, in any order. Left early, those not begun are dropped."""
        if self._pool is None:
            for task in tasks:
                yield _trial(self._run, self._prices, task)
            return
        futures = [self._pool.submit(_trial_here, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def _pool(run: Run, prices: Stretch, jobs: int) -> ProcessPoolExecutor:
    # A forked process has the prices as they are in memory; elsewhere each process is sent a copy once. Forking is
    # safe here: it happens before the executor's own threads begin, and the children only count.
    method = "fork" if sys.platform == "linux" else "spawn"
    context = multiprocessing.get_context(method)
    return ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin, initargs=(run, prices))


_shared: tuple[Run, Stretch] | None = None
"""What this worker process was begun with."""


def _begin(run: Run, prices: Stretch) -> None:
    global _shared
    _shared = run, prices
    # Ctrl-C is for the process that shows the progress: it stops handing out work.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _trial_here(task: Task) -> Trial:
    assert _shared
    return _trial(*_shared, task)


def _trial(run: Run, prices: Stretch, task: Task) -> Trial:
    params, setup, span = task
    try:
        return Trial(params, run(setup, prices.between(span)))
    except CannotOpenError as error:
        return Trial(params, None, str(error))
