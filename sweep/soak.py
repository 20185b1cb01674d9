"""`python -m sweep.soak`: cycles by the thousand, five trades at once, and a seed that says what goes wrong.

    make soak SEED=7 CYCLES=1000
    make soak SEED=7 ARGS="--plan"         # what it will do, without doing it
    make soak SEED=7 ARGS="--round 13"     # only that round again

A round is a life of each trade: opened, led through some cycles, closed; all five at once on one stack. In it, what the
seed says goes wrong: kills now or at a boundary, pauses, faults of the exchange and of its stream, outages, a
stranger's hand that is answered with rehedge, a life that ends by an emergency stop. Which order of which trade is met
by a fault is up to the machine. The price of a coin moves on only when its trade has come to rest, so every life has to
do what it does when nothing goes wrong.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from sweep.checker import baseline_of, check
from sweep.cycle import Hooks, Run
from sweep.evidence import evidence_of
from sweep.judged import Baseline, Evidence, Limits, Violation
from sweep.rig import Rig, started_rig
from sweep.story import PATH
from sweep.terms import Terms
from sweep.trouble import Saboteur, Trouble, plan

COINS = (
    Terms("ETH", Decimal(2500), unit_size=Decimal(2), leverage=5),
    Terms("BTC", Decimal(60_000), unit_size=Decimal(50), leverage=5),
    Terms("SOL", Decimal(150), unit_size=Decimal("0.2"), leverage=5),
    Terms("HYPE", Decimal(40), unit_size=Decimal("0.05"), leverage=5),
    Terms("DOGE", Decimal("0.2"), unit_size=Decimal("0.0003"), leverage=5),
)
CYCLES_PER_LIFE = 4
ROUND_CYCLES = CYCLES_PER_LIFE * len(COINS)
ROUND_STEPS = len(COINS) * (2 + CYCLES_PER_LIFE * len(PATH))
LIMITS = Limits(recovered_s_max=90.0, same_orders=False, expiry_settles=True, touched_share=Decimal("0.01"))
"""Several faults overlap, and one after the other may hold up the same order."""
STUCK_AFTER_S = 180.0


@dataclass
class Tally:
    """Of the whole soak."""

    rounds: int = 0
    troubles: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[int, Violation]] = field(default_factory=list)
    events_max: int = 0
    orders: int = 0
    rss_mb: list[float] = field(default_factory=list)
    """Of the worker at the end of each round; it was started anew whenever it was killed."""


class Soak:
    """Rounds on one stack; a new stack after a round that went wrong."""

    def __init__(self, folder: Path, *, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._say = say
        self._rig: Rig | None = None
        self._stacks = 0
        self._baselines: dict[str, Baseline] = {}
        self.tally = Tally()

    async def round(self, number: int, troubles: Sequence[Trouble]) -> list[Violation]:
        rig = await self._ready_rig()
        saboteur = Saboteur(rig, troubles)
        try:
            found = await self._lives(rig, saboteur.step, saboteur.end)
            violations = [
                violation for evidence in found for violation in check(evidence, self._baselines[evidence.coin], LIMITS)
            ]
        except* Exception as stuck:  # noqa: BLE001  # whatever breaks in a round is its result
            violations = [Violation("stuck", str(error)) for error in stuck.exceptions]
        self.tally.rounds += 1
        self.tally.troubles.update(trouble.kind for trouble in troubles)
        self.tally.violations += [(number, violation) for violation in violations]
        if violations:
            await self.end()
        return violations

    async def end(self) -> None:
        if self._rig is not None:
            await self._rig.stop()
            self._rig = None

    async def _ready_rig(self) -> Rig:
        if self._rig is None:
            self._stacks += 1
            self._rig = await started_rig(self._folder / f"stack-{self._stacks}")
            self._say("a round without faults, to compare with")
            found = await self._lives(self._rig, None, None)
            self._baselines = {evidence.coin: baseline_of(evidence) for evidence in found}
        return self._rig

    async def _lives(
        self,
        rig: Rig,
        before: Callable[[Run, str], Awaitable[None]] | None,
        at_end: Callable[[], Awaitable[None]] | None,
    ) -> list[Evidence]:
        """One life of each trade, all at once; the first evidence has the money of all of them."""
        books, since_ms = await rig.books(), time.time_ns() // 1_000_000
        runs = {terms: _run(rig, terms, before) for terms in COINS}
        async with asyncio.TaskGroup() as group:
            for run in runs.values():
                group.create_task(run.through(CYCLES_PER_LIFE))
        if at_end is not None:
            await at_end()
        found = [await evidence_of(rig, terms, run, books, since_ms) for terms, run in runs.items()]
        told = sum((evidence.told_pnl_usd or Decimal(0) for evidence in found), Decimal(0))
        self._count(rig, list(runs.values()), found)
        return [
            replace(found[0], told_pnl_usd=told),
            *(replace(evidence, told_pnl_usd=None) for evidence in found[1:]),
        ]

    def _count(self, rig: Rig, runs: Sequence[Run], found: Sequence[Evidence]) -> None:
        tally = self.tally
        tally.events_max = max(tally.events_max, *(run.events_max for run in runs))
        tally.orders += len(found[0].ledger["acceptedOrders"]) - len(found[0].oids_before)
        if (pid := rig.named("worker").pid) is not None:
            tally.rss_mb.append(_rss_mb(pid))


def _run(rig: Rig, terms: Terms, before: Callable[[Run, str], Awaitable[None]] | None) -> Run:
    async def step(name: str) -> None:
        if before is not None:
            await before(run, name)

    run = Run(rig, terms, hooks=Hooks(before=step), patience_s=STUCK_AFTER_S)
    return run


def _rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


async def soak(seed: int, numbers: Sequence[int], folder: Path, say: Callable[[str], None]) -> Tally:
    troubles = plan(seed, max(numbers) + 1, ROUND_STEPS)
    runner = Soak(folder, say=say)
    began_s = time.monotonic()
    try:
        for done, number in enumerate(numbers, start=1):
            round_began_s = time.monotonic()
            violations = await runner.round(number, troubles[number])
            left_s = (time.monotonic() - began_s) / done * (len(numbers) - done)
            say(
                f"round {number} ({done}/{len(numbers)}, {left_s / 60:.0f} min left): {ROUND_CYCLES} cycles in "
                f"{time.monotonic() - round_began_s:.0f} s, {len(violations)} violations"
            )
            for violation in violations:
                say(f"      {violation.rule}: {violation.text}")
            if violations:
                say(f'      make soak SEED={seed} ARGS="--round {number}"')
    finally:
        await runner.end()
    return runner.tally


def summary(seed: int, tally: Tally, seconds: float) -> str:
    rss = tally.rss_mb or [0.0]
    troubles = ", ".join(f"{count} {kind}" for kind, count in sorted(tally.troubles.items()))
    return "\n".join(
        (
            f"seed {seed}: {tally.rounds * ROUND_CYCLES} cycles in {tally.rounds} rounds, {seconds / 60:.1f} min, "
            f"{tally.rounds * ROUND_CYCLES / seconds:.2f} cycles a second",
            f"{len(tally.violations)} violations; {tally.orders} orders accepted; what went wrong: {troubles}",
            f"worker's memory: {rss[0]:.0f} MB after the first round, {rss[-1]:.0f} MB after the last, "
            f"{max(rss):.0f} MB at most; longest history {tally.events_max} events",
        )
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m sweep.soak", description="Thousands of cycles under random faults."
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--round", type=int, help="only this round")
    parser.add_argument("--plan", action="store_true", help="print what would go wrong, and end")
    parser.add_argument("--keep", type=Path, help="folder for the state")
    asked = parser.parse_args()
    numbers = range(-(-asked.cycles // ROUND_CYCLES)) if asked.round is None else [asked.round]
    if asked.plan:
        for number in numbers:
            for trouble in plan(asked.seed, number + 1, ROUND_STEPS)[number]:
                _say(f"round {number}, {trouble}")
        return 0
    logging.basicConfig(level="ERROR")
    folder = asked.keep or Path(tempfile.mkdtemp(prefix="hypertrader-soak-"))
    began_s = time.monotonic()
    tally = asyncio.run(soak(asked.seed, list(numbers), folder, _say))
    _say(summary(asked.seed, tally, time.monotonic() - began_s))
    return int(bool(tally.violations))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
