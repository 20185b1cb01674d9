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
    limits: Limits = STRICT

    @property
    def name(self) -> str:
        return f"{self.fault}@{self.boundary}/{self.step}".replace(" ", "_")
