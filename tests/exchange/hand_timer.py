"""Time for a governor, moved by hand."""

import asyncio
from collections.abc import Callable


class HandTimer:
    """An event loop's clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self._alarms: list[Alarm] = []

    def time(self) -> float:
        return self.now_s

    def call_at(self, when: float, callback: Callable[[], object], /) -> "Alarm":
        alarm = Alarm(self, when, callback)
        self._alarms.append(alarm)
        return alarm

    @property
    def next_s(self) -> float | None:
        return min((alarm.when for alarm in self._alarms), default=None)

    def forget(self, alarm: "Alarm") -> None:
        if alarm in self._alarms:
            self._alarms.remove(alarm)

    async def move(self, seconds: float) -> None:
        self.ring(seconds)
        await told()

    def ring(self, seconds: float) -> None:
        """The alarms of that time, and nobody has heard them yet."""
        end_s = self.now_s + seconds
        while due := sorted((alarm for alarm in self._alarms if alarm.when <= end_s), key=lambda alarm: alarm.when):
            self.now_s = max(self.now_s, due[0].when)
            self.forget(due[0])
            due[0].callback()
        self.now_s = end_s


class Alarm:
    def __init__(self, timer: HandTimer, when: float, callback: Callable[[], object]) -> None:
        self._timer, self.when, self.callback = timer, when, callback

    def cancel(self) -> None:
        self._timer.forget(self)


async def told() -> None:
    """Tasks that can go on have done so."""
    for _ in range(5):
        await asyncio.sleep(0)
