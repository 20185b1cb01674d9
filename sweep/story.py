"""What a run goes through between its opening and its end: prices, somebody else's hand, and how it is told to end."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Path = tuple[tuple[str, int], ...]
PATH: Path = (("retracement", -1), ("undone", 0), ("again", -1), ("DECLINE", -2), ("RECOVERY", -1), ("RESET", 0))
"""Steps between opening and close: a name, and the line whose completion leads there."""
GAPS: Path = (("gap down", -5), ("gap up", 3), ("gap down again", -1))
"""Prices that jump over many units: through every phase at once."""
HEDGE: Path = (
    ("armed", 2),
    ("level 1", 1),
    ("new high", 2),
    ("level 1 again", 1),
    ("level 2", 0),
    ("low", -1),
    ("stopped", 0),
    ("new fractal", 1),
)
"""The same of the Fibonacci hedge: each level, each stop, and the re-entry."""
GUARD: Path = (
    ("armed", 2),
    ("level 1", 1),
    ("level 2", 0),
    ("low", -1),
    ("stopped", 0),
    ("new fractal", 1),
)
"""The hedge with a backstop: nothing to guard, the other side, replaced, nothing, guarded anew."""
SHORT: Path = (("retracement", -1),)
OPENING, HAND, ANSWER, ONWARDS, CLOSE = "opening", "hand", "answer", "onwards", "close"
ELSEWHERE = "SOL"
"""Where no trade of the sweep's is."""


class Ending(StrEnum):
    CLOSE = "close"
    STOP = "stop"
    """Told by signal; released once it is proved flat."""
    STOP_ALL = "stop-all"
    """The same by the command, as a process of its own."""
    EMERGENCY = "emergency"
    """By the account's emergency stop, which Temporal keeps; released once that is proved flat."""
    PORTFOLIO = "portfolio's"
    """The emergency stop of an account with a portfolio: it is the portfolio's own."""
    EVERYTHING = "everything"
    """An emergency stop that also closes what no trade holds: somebody else's position and stop in `ELSEWHERE`."""

    @property
    def is_emergency(self) -> bool:
        return self in (Ending.EMERGENCY, Ending.PORTFOLIO, Ending.EVERYTHING)


class Deed(StrEnum):
    """What somebody else with the key does on the exchange, or the exchange itself."""

    HALF_CLOSED = "half closed"
    BIT_OPENED = "bit opened"
    LEVERAGE = "leverage"
    LIQUIDATED = "liquidated"


Answer = Literal["adopt", "rehedge", "release", "close"]
Price = Literal["stands still", "waits", "is fresh"]
"""By one unit: just after the hand did, so that it waits for whoever is away; or just before they are back."""


@dataclass(frozen=True)
class Hand:
    """It comes after the path. The trade holds still until it is answered."""

    deed: Deed
    answer: Answer
    price: Price = "stands still"

    @property
    def ends(self) -> bool:
        """The answer ends the trade."""
        return self.answer in ("release", "close")


@dataclass(frozen=True)
class Story:
    path: Path = PATH
    hand: Hand | None = None
    ending: Ending = Ending.CLOSE
    moving: bool = False
    """A unit is completed just before it is told to end."""
    hedged: bool = False
    """Of a trade of the Fibonacci hedge."""
    guarded: bool = False
    """And it has a backstop."""

    @property
    def steps(self) -> tuple[str, ...]:
        """The names of its steps, in order."""
        names = (OPENING, *(name for name, _ in self.path))
        match self.hand:
            case None:
                return (*names, CLOSE)
            case hand if hand.ends:
                return (*names, HAND, ANSWER)
            case _:
                return (*names, HAND, ANSWER, ONWARDS, CLOSE)


TO_THE_END = Story()
