"""A workflow whose decision depends on the time at which it hears of something."""

from datetime import timedelta

from temporalio import activity, workflow

LATE_S = 0.2


@activity.defn
async def in_time() -> None: ...


@activity.defn
async def late() -> None: ...


@workflow.defn
class Punctual:
    """Does one thing for what it is told in time, and another for what it is told late."""

    def __init__(self) -> None:
        self._due: list[str] = []
        self._done = 0

    @workflow.run
    async def run(self) -> None:
        while True:
            await workflow.wait_condition(lambda: bool(self._due))
            await workflow.execute_activity(self._due.pop(0), start_to_close_timeout=timedelta(seconds=5))
            self._done += 1

    @workflow.signal
    def told(self, sent_s: float) -> None:
        self._due.append("late" if workflow.now().timestamp() - sent_s > LATE_S else "in_time")

    @workflow.query
    def done(self) -> int:
        return self._done
