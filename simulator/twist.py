"""What a fault does to the orders of one action while the venue executes them."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal


@dataclass(frozen=True, slots=True)
class Twist:
    share: Decimal | None = None
    """Part of what an IOC would fill that it does fill."""
    hide_s: float = 0.0
    """How long questions do not show the order and its fills."""
    oversize: Literal["shrink", "reject"] | None = None
    """What becomes of a reduce-only order larger than its position; None: what is configured."""

    def hidden_until_ms(self, wall_ms: int) -> int:
        return wall_ms + round(self.hide_s * 1000) if self.hide_s else 0


NO_TWIST = Twist()
