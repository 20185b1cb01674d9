"""The unit ladder's parameters: data, not code. A preset is one value of `Ladder`."""

from decimal import Decimal
from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from strategy.values import Value


class AtReset(StrEnum):
    """What happens to the size of the position when a new cycle begins."""

    CAP = "cap"
    """Sell down to allocation * leverage if the position is above it."""
    RELEVER = "relever"
    """Trade to allocation * leverage both ways."""
    KEEP = "keep"


class ScaleOut(Value):
    """A retracement step, in fragments. "rest" sells all that is left, "same" shorts the quantity just sold."""

    sell_long: Decimal | Literal["rest"]
    open_short: Decimal | Literal["same"]


class Ladder(Value):
    name: str = Field(min_length=1, max_length=40)
    fragment: Decimal = Field(gt=0, le=1)
    """Share of the long position at the peak."""
    retracement: tuple[ScaleOut, ...] = Field(min_length=1, max_length=50)
    """The steps for depth 1, 2, ... below the peak; the last one leads to DECLINE."""
    hedge_fragment: Decimal = Field(gt=0, le=1)
    """Share of the short covered by each early recovery step."""
    cover_from: int = Field(ge=1)
    cover_rest_at: int
    sweep_at: int
    """Heights above the valley: first cover, the rest of the short, the whole cash (then RESET)."""
    reset_on_full_reversal: bool = False

    @property
    def depth(self) -> int:
        """Units from the peak to DECLINE."""
        return len(self.retracement)

    @model_validator(mode="after")
    def _can_be_executed(self) -> "Ladder":
        if not self.cover_from <= self.cover_rest_at <= self.sweep_at:
            raise ValueError(
                f"recovery heights must rise: cover_from {self.cover_from} <= cover_rest_at {self.cover_rest_at} "
                f"<= sweep_at {self.sweep_at}"
            )
        sold = Decimal(0)
        for depth, step in enumerate(self.retracement, start=1):
            where = f"retracement step {depth}"
            if (step.sell_long == "rest") != (depth == self.depth):
                raise ValueError(
                    f"{where}: sell_long is {step.sell_long}; the last step, and only the last, sells the rest"
                )
            for field, amount in (("sell_long", step.sell_long), ("open_short", step.open_short)):
                if isinstance(amount, Decimal) and amount < 0:
                    raise ValueError(f"{where}: {field} is {amount}; it must be 0 or more fragments")
            if isinstance(step.sell_long, Decimal):
                sold += step.sell_long * self.fragment
            if sold > 1:
                raise ValueError(f"{where}: {sold:.0%} of the long would be sold by then; at most 100% is there")
        return self


def _steps(*pairs: tuple[int | Literal["rest"], int | Literal["same"]]) -> tuple[ScaleOut, ...]:
    return tuple(ScaleOut.model_validate({"sell_long": sell, "open_short": short}) for sell, short in pairs)


V6 = Ladder(
    name="v6",
    fragment=Decimal("0.10"),
    retracement=_steps((1, 1), (2, 1), (2, 1), (2, 1), ("rest", "same")),
    hedge_fragment=Decimal("0.25"),
    cover_from=2,
    cover_rest_at=5,
    sweep_at=5,
)

# The last proceeds stay in cash, so a decline is entered with 48% short and 52% cash.
V7 = Ladder(
    name="v7",
    fragment=Decimal("0.12"),
    retracement=_steps((1, 1), (2, 1), (2, 1), (2, 1), ("rest", 0)),
    hedge_fragment=Decimal("0.25"),
    cover_from=2,
    cover_rest_at=6,
    sweep_at=6,
    reset_on_full_reversal=True,
)

PRESETS = {"v6": V6, "v7": V7}
