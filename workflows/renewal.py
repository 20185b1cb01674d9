"""When a run has grown long, the trade goes on in a new one: its history stays small, its record is the state."""

from temporalio import workflow

HISTORY_EVENTS_MAX = 1_000
"""The run is renewed above it: a restarted worker reads that much in a moment."""


class Renewal:
    def __init__(self) -> None:
        self.as_in_0_1 = False
        """A run that release 0.1.0 began replays as it was, and is renewed as soon as it is live."""

    def is_due(self) -> bool:
        info = workflow.info()
        # Once it is live: a patch asked for anew at every task is False while the old part replays.
        if self.as_in_0_1 and workflow.patched(f"renewed-at-{info.get_current_history_length()}"):
            return True
        return info.is_continue_as_new_suggested() or info.get_current_history_length() > HISTORY_EVENTS_MAX

    def can_be(self) -> bool:
        """It is due, and nobody waits for an answer of this run."""
        return self.is_due() and workflow.all_handlers_finished()
