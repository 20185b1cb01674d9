"""What goes wrong in a soak: drawn from its seed, and made to happen when its step begins."""

import asyncio
import contextlib
import random
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sweep.boundaries import JOURNAL, ORDER
from sweep.cell import VICTIMS
from sweep.conductor import Blow
from sweep.cycle import Run
from sweep.faults import DROP_REPLY, ORDER_FAULTS, SETTLING_FAULTS, STREAM_FAULTS
from sweep.processes import Forked
from sweep.rig import Rig
from sweep.story import OPENING, Deed, Ending, Hand

PER_ROUND = 5
"""Things that go wrong in a round."""
OUTAGE_MODES = ("refuse", "hang", "bad_gateway")
WEIGHTS = {
    "kill": 3,
    "kill at": 5,
    "pause": 2,
    "order fault": 4,
    "settling fault": 2,
    "stream": 2,
    "outage": 1,
    "hand": 2,
    "stop": 1,
}
DEEDS = (Deed.HALF_CLOSED, Deed.BIT_OPENED, Deed.LEVERAGE)


@dataclass(frozen=True)
class Trouble:
    """What goes wrong when the round's `at_step`-th step begins, over all trades."""

    at_step: int
    kind: str
    what: dict[str, Any] = field(hash=False)

    def __str__(self) -> str:
        return f"step {self.at_step}: {self.kind} {', '.join(f'{name}={value}' for name, value in self.what.items())}"


def plan(seed: int, rounds: int, steps: int) -> list[tuple[Trouble, ...]]:
    """For rounds of so many steps; a round's troubles do not depend on how many rounds there are."""
    return [_round(random.Random(f"{seed}/{number}"), steps) for number in range(rounds)]


def _round(chance: random.Random, steps: int) -> tuple[Trouble, ...]:
    at_steps = sorted(chance.sample(range(1, steps), PER_ROUND))
    return tuple(_trouble(chance, at_step) for at_step in at_steps)


def _trouble(chance: random.Random, at_step: int) -> Trouble:
    kind = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    victims = chance.choice(list(VICTIMS))
    match kind:
        case "kill":
            return Trouble(at_step, kind, {"victims": victims})
        case "kill at":
            return Trouble(at_step, kind, {"victims": victims, "boundary": chance.choice((*ORDER, *JOURNAL))})
        case "pause":
            seconds, name = round(chance.uniform(0.5, 8.0), 1), chance.choice(("worker", "feed"))
            return Trouble(at_step, kind, {"victim": name, "seconds": seconds})
        case "order fault":
            return Trouble(at_step, kind, {"fault": chance.choice(list(ORDER_FAULTS)), "count": chance.randint(1, 3)})
        case "settling fault":
            return Trouble(
                at_step, kind, {"fault": chance.choice(list(SETTLING_FAULTS)), "count": chance.randint(1, 4)}
            )
        case "stream":
            return Trouble(at_step, kind, {"fault": chance.choice(list(STREAM_FAULTS))})
        case "hand":
            return Trouble(at_step, kind, {"deed": chance.choice(DEEDS)})
        case "stop":
            return Trouble(at_step, kind, {})
        case _:
            seconds = round(chance.uniform(0.5, 5.0), 1)
            return Trouble(at_step, kind, {"mode": chance.choice(OUTAGE_MODES), "seconds": seconds})


class Saboteur:
    """Makes a round's troubles come when their steps begin."""

    def __init__(self, rig: Rig, troubles: Sequence[Trouble]) -> None:
        self._rig = rig
        self._troubles = {trouble.at_step: trouble for trouble in troubles}
        self._steps = 0
        self._hands: list[Hand] = []
        """Those that wait for a trade: an opening has none yet."""
        self._pauses: list[asyncio.Task[None]] = []

    async def step(self, run: Run, name: str) -> None:
        """A trade's step is about to begin."""
        self._steps += 1
        match self._troubles.get(self._steps):
            case None:
                pass
            case Trouble(kind="hand", what={"deed": deed}):
                self._hands.append(Hand(deed, "rehedge"))
            case Trouble(kind="stop"):
                run.ending = Ending.STOP
            case trouble:
                with contextlib.suppress(ProcessLookupError):
                    await self._make(trouble.kind, trouble.what)
        if self._hands and name != OPENING:
            # Five trades come here, and meanwhile another would take the same.
            hand = self._hands.pop()
            # Its own orders are not what is tried here.
            await self._rig.exchange.disarm()
            await self._rig.exchange.end_outage()
            await run.suffer(hand)

    async def end(self) -> None:
        """Nothing goes wrong any more, and everything runs."""
        await asyncio.gather(*self._pauses)
        await self._rig.arm(())
        await self._rig.exchange.disarm()
        await self._rig.exchange.end_outage()
        await self._rig.ready()

    async def _make(self, kind: str, what: dict[str, Any]) -> None:
        rig, exchange = self._rig, self._rig.exchange
        match kind:
            case "kill":
                await rig.kill(*VICTIMS[what["victims"]])
            case "kill at":
                await rig.arm((*rig.conductor.left, Blow(what["boundary"], VICTIMS[what["victims"]])))
            case "pause":
                self._pauses.append(asyncio.create_task(self._pause(what["victim"], what["seconds"])))
            case "order fault":
                match = {"action": "order", "count": what["count"]}
                await exchange.post("faults", {**ORDER_FAULTS[what["fault"]], "match": match})
            case "settling fault":
                # It matters only where an order's fate is unknown.
                await exchange.post("faults", DROP_REPLY)
                match = {"action": "noop", "count": what["count"]}
                await exchange.post("faults", {**SETTLING_FAULTS[what["fault"]], "match": match})
            case "stream":
                await exchange.post("streams", STREAM_FAULTS[what["fault"]])
            case "outage":
                await exchange.post("outage", what)

    async def _pause(self, name: str, seconds: float) -> None:
        child = self._rig.named(name)
        assert isinstance(child, Forked)
        if (pid := child.pid) is None:
            return
        child.send(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        if child.pid == pid:
            child.send(signal.SIGCONT)
