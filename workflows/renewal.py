"""When a run has grown long, the trade goes on in a new one: its history stays small, its record is the state."""

from collections.abc import Callable

from temporalio import workflow

HISTORY_EVENTS_MAX = 250
"""The run is renewed above it. A worker started anew reads that much of each of its trades: a tenth of a second or
two. With a thousand, twenty trades on two cores were read for longer than a task may take, again and again."""


class Renewal:
    def __init__(self, is_wanted: Callable[[], bool] = lambda: False) -> None:
        """`is_wanted`: for another reason than its length."""
        self._is_wanted = is_wanted
        self.as_in_0_1 = False
        """A run that release 0.1.0 began replays as it was, and is renewed as soon as it is live."""

    def is_due(self) -> bool:
        if self._is_wanted():
            return True
        info = workflow.info()
        # Once it is live: a patch asked for anew at every task is False while the old part replays.
        if self.as_in_0_1 and workflow.patched(f"renewed-at-{info.get_current_history_length()}"):
            return True
        events_max = 1_000 if self.as_in_0_1 else HISTORY_EVENTS_MAX
        return info.is_continue_as_new_suggested() or info.get_current_history_length() > events_max

    def can_be(self) -> bool:
        """It is due, and nobody waits for an answer of this run."""
        return self.is_due() and workflow.all_handlers_finished()
