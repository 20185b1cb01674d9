"""A cell of the matrix: one trade through one story in which something goes wrong.

A cell has a name that finds it again, `fault@boundary/step`; rows of the printed grid are boundaries, columns faults.
"""

from dataclasses import dataclass, field

from sweep.conductor import Blow
from sweep.faults import Fault
from sweep.judged import Limits
from sweep.story import TO_THE_END, Story

STRICT = Limits()
FROZEN = Limits(recovered_s_max=75)
"""A process that stands still looks alive to Temporal for a minute, and is handed work."""
EXPIRY_S = 5.0
"""Of an order: a paused worker sleeps longer."""
PAUSED_S = EXPIRY_S + 1.5
VICTIMS: dict[str, tuple[str, ...]] = {
    "worker": ("worker",),
    "feed": ("feed",),
    "temporal": ("temporal",),
    "all": ("worker", "feed", "temporal"),
}


@dataclass(frozen=True)
class Cell:
    """What goes wrong, where and when: from `step` on, and within it unless it is `anytime`."""

    group: str
    boundary: str
    fault: str
    step: str
    blows: tuple[Blow, ...] = ()
    faults: tuple[Fault, ...] = field(default=(), hash=False)
    streams: tuple[Fault, ...] = field(default=(), hash=False)
    outage: Fault | None = field(default=None, hash=False)
    second_worker: bool = False
    anytime: bool = False
    story: Story = TO_THE_END
    held: tuple[str, ...] = ()
    """Processes that are down when the step's price comes, and for some seconds after it."""
    paused_s: float = PAUSED_S
    """How long a process that a blow pauses stands still."""
    alone: bool = False
    """Nobody takes over from a paused worker."""
    limits: Limits = STRICT

    @property
    def lasts_s(self) -> float:
        """How long the trade can do nothing, whatever it tries."""
        is_paused = any(blow.how == "pause" for blow in self.blows)
        outage_s = float(self.outage["seconds"]) if self.outage else 0.0
        return max(self.paused_s if is_paused else 0.0, outage_s)

    @property
    def name(self) -> str:
        return f"{self.fault}@{self.boundary}/{self.step}".replace(" ", "_")
