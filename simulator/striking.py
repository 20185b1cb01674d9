"""The faults that are armed, and which of them strike a request. Chance is drawn from one seeded source.

The same seed and the same requests in the same order give the same strikes.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from simulator.faults import (
    Asked,
    Delay,
    FaultKind,
    Hide,
    Partial,
    Place,
    ReduceOnly,
    place_of,
)
from simulator.listings import BY_ASSET
from simulator.requests import Envelope
from simulator.twist import Twist


@dataclass
class Armed:
    """`seen` counts the requests it was for, `hit` those it struck."""

    id: int
    fault: FaultKind
    seen: int = 0
    hit: int = 0

    @property
    def spent(self) -> bool:
        return self.hit >= self.fault.match.count

    def shown(self) -> dict[str, Any]:
        return {"id": self.id, "seen": self.seen, "hit": self.hit} | self.fault.model_dump(mode="json")


@dataclass(frozen=True)
class Struck:
    """The faults that struck one request, at most one in each place."""

    faults: dict[Place, FaultKind] = field(default_factory=dict)

    @property
    def name(self) -> str | None:
        """For the log: `partial+drop_reply`; None where nothing struck."""
        return "+".join(fault.kind for fault in self.faults.values()) or None

    @property
    def refusal(self) -> FaultKind | None:
        return self.faults.get(Place.REFUSED)

    @property
    def reply(self) -> FaultKind | None:
        return self.faults.get(Place.REPLY)

    def held_s(self, place: Place) -> float:
        fault = self.faults.get(place)
        return fault.seconds if isinstance(fault, Delay) else 0.0

    @property
    def twist(self) -> Twist:
        partial, hide = self.faults.get(Place.PARTIAL), self.faults.get(Place.HIDDEN)
        reduce_only = self.faults.get(Place.REDUCE_ONLY)
        return Twist(
            share=partial.share if isinstance(partial, Partial) else None,
            hide_s=hide.seconds if isinstance(hide, Hide) else 0.0,
            oversize=reduce_only.oversize if isinstance(reduce_only, ReduceOnly) else None,
        )


class Faults:
    def __init__(self, seed: int = 0) -> None:
        self._ids = count(1)
        self._chance = random.Random(seed)
        self.armed: list[Armed] = []

    def reseed(self, seed: int) -> None:
        """Begin the draws anew."""
        self._chance = random.Random(seed)

    def arm(self, fault: FaultKind) -> Armed:
        armed = Armed(next(self._ids), fault)
        self.armed.append(armed)
        return armed

    def disarm(self) -> int:
        """Forget all; returns how many could still have struck."""
        left = sum(not armed.spent for armed in self.armed)
        self.armed.clear()
        return left

    def strike(self, asked: Asked) -> Struck:
        """The faults that hit this request. Every armed fault counts every request it is for."""
        struck: dict[Place, FaultKind] = {}
        for armed in sorted(self.armed, key=lambda each: place_of(each.fault)):
            if not armed.fault.match.fits(asked):
                continue
            armed.seen += 1
            place = place_of(armed.fault)
            if place in struck or (place > Place.REFUSED and Place.REFUSED in struck):
                continue
            if self._is_due(armed):
                armed.hit += 1
                struck[place] = armed.fault
        return Struck(struck)

    def _is_due(self, armed: Armed) -> bool:
        match = armed.fault.match
        if armed.spent or armed.seen < match.nth:
            return False
        return match.probability == 1 or self._chance.random() < match.probability


def asked_of(envelope: Envelope) -> Asked:
    """What a fault looks at in an action: its type, and the coins it names."""
    assets = set(_assets(envelope.action.model_dump()))
    return Asked(action=envelope.action.type, coins=frozenset(BY_ASSET[a].coin for a in assets if a in BY_ASSET))


def _assets(value: object) -> Iterator[int]:
    if isinstance(value, dict):
        yield from (value[key] for key in ("a", "asset") if isinstance(value.get(key), int))
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _assets(inner)
