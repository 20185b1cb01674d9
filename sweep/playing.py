"""Play one cell: a trade through a cycle in which exactly one thing goes wrong, and the checker's word on it."""

import asyncio
import json
import pathlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from temporalio.service import RPCError

from cli.errors import CommandFailed
from sweep.cell import Cell
from sweep.checker import baseline_of, check
from sweep.cycle import REST_TIMEOUT_S, Hooks, Run
from sweep.evidence import evidence_of
from sweep.hands import touch
from sweep.judged import Baseline, Evidence, Step, Violation
from sweep.rig import Rig, started_rig
from sweep.story import HAND, OPENING, Deed, Ending, Story
from sweep.terms import GUARDED, HEDGED, Terms

FALLS_WITHIN_S = 5.0
"""A boundary that is reached by time alone, as a heartbeat's, is waited for so long."""
HELD_S = 2.0
ABSENT_S = 3.5
"""Under a hand, and a price that waits: an outage that a trade is told of, and a price that it takes for late."""
LATE_WORDS_S = 1.0
"""What a worker that wakes up too late has to say, it says within this."""


@dataclass(frozen=True)
class Result:
    cell: Cell
    violations: tuple[Violation, ...]
    seconds: float
    recovered_s: float | None
    """From the last fault to the trade at rest on the right price."""
    slowest: str
    """The step that took longest, and how long."""


class Player:
    """Plays cells on one stack, and builds a new stack after each one that went wrong."""

    def __init__(self, folder: pathlib.Path, *, renew_above: int, terms: Terms | None = None) -> None:
        self._folder = folder
        self._renew_above = renew_above
        self._terms = terms or Terms()
        self._rigs = 0
        self._rig: Rig | None = None
        self._baselines: dict[Story, Baseline] = {}

    async def play(self, cell: Cell) -> Result:
        rig = await self._ready_rig()
        baseline = await self._baseline(rig, cell.story)
        began_s = time.monotonic()
        scene = _Scene(rig, cell, self._terms_of(cell.story))
        evidence: Evidence | None = None
        violations: list[Violation]
        try:
            evidence = await scene.run()
            violations = [*check(evidence, baseline, cell.limits), *await scene.unreached()]
            await scene.clear()
        except Exception as error:  # noqa: BLE001  # whatever breaks in a cell is its result, and the others are played
            violations = [Violation("stuck", f"{type(error).__name__}: {error}")]
        finally:
            scene.abandon()
        result = Result(cell, tuple(violations), time.monotonic() - began_s, scene.recovered_s, scene.slowest)
        if violations:
            await self._keep_traces(cell, evidence, violations)
            await self.end()
        return result

    async def end(self) -> None:
        if self._rig is not None:
            self._rig.wake_paused()
            await self._rig.stop()
            self._rig = None

    async def _ready_rig(self) -> Rig:
        if self._rig is None:
            self._rigs += 1
            self._rig = await started_rig(self._folder / f"stack-{self._rigs}", renew_above=self._renew_above)
        return self._rig

    async def _baseline(self, rig: Rig, story: Story) -> Baseline:
        """The story without faults, once. However it is told to end flat, it does so by the same order."""
        story = replace(story, ending=Ending.CLOSE, moving=False)
        if story not in self._baselines:
            undisturbed = _Scene(rig, Cell("", "", "", "", story=story), self._terms_of(story))
            evidence = await undisturbed.run()
            baseline = baseline_of(evidence)
            if wrong := check(evidence, baseline):
                raise CommandFailed(f"a run without faults is wrong already: {wrong[0].text}")
            await undisturbed.clear()
            self._baselines[story] = baseline
        return self._baselines[story]

    def _terms_of(self, story: Story) -> Terms:
        if not story.hedged:
            return self._terms
        return GUARDED if story.guarded else HEDGED

    async def _keep_traces(self, cell: Cell, evidence: Evidence | None, violations: Sequence[Violation]) -> None:
        """Everything needed to see what happened, under `failed/`."""
        assert self._rig is not None
        kept = self._folder / "failed" / cell.name.replace("/", "+")
        kept.mkdir(parents=True, exist_ok=True)
        shutil.copytree(self._rig.logs, kept / "logs", dirs_exist_ok=True)
        found = {"violations": [asdict(each) for each in violations], "evidence": evidence and asdict(evidence)}
        (kept / "found.json").write_text(json.dumps(found, indent=1, default=_plain))
        try:
            for name, handle in Run(self._rig, self._terms, cell.story).handles.items():
                (kept / f"{name}.json").write_text((await handle.fetch_history()).to_json())
            books, requests = await self._rig.books(), await self._rig.exchange.requests()
            (kept / "exchange.json").write_text(json.dumps({"books": books, "requests": requests}, indent=1))
        except (RPCError, CommandFailed) as error:
            (kept / "incomplete").write_text(str(error))


class _Scene:
    """One cell being played."""

    def __init__(self, rig: Rig, cell: Cell, terms: Terms) -> None:
        self._rig = rig
        self._cell = cell
        self._terms = terms
        self._struck_s: float | None = None
        self._relief: asyncio.Task[None] | None = None
        self._steps: Sequence[Step] = ()

    @property
    def recovered_s(self) -> float | None:
        return max((step.recovered_s for step in self._steps if step.recovered_s is not None), default=None)

    @property
    def slowest(self) -> str:
        step = max(self._steps, key=lambda each: each.took_s, default=None)
        return f"{step.name} {step.took_s:.1f} s" if step else ""

    async def run(self) -> Evidence:
        rig, cell = self._rig, self._cell
        if cell.step == OPENING:
            await rig.set_leverage(self._terms.coin, self._terms.leverage + 1)
        before, since_ms = await rig.books(), time.time_ns() // 1_000_000
        await rig.arm(())
        if cell.second_worker:
            await rig.start_second_worker()
        absence = self if cell.step == HAND and cell.held else None
        hooks = Hooks(self._begin, self._after, self._faulted, absence)
        run = Run(rig, self._terms, cell.story, hooks, patience_s=REST_TIMEOUT_S + cell.lasts_s)
        rig.hand, rig.price = lambda: self._be_halved(run), run.move_on
        await run.through()
        await rig.exchange.end_outage()
        self._steps = run.steps
        return await evidence_of(rig, self._terms, run, before, since_ms)

    async def unreached(self) -> list[Violation]:
        """A cell in which nothing went wrong proves nothing."""
        missed = [f"{blow.how} at {blow.boundary}" for blow in self._rig.conductor.left]
        missed += [
            f"{fault['kind']} for {fault['match']}" for fault in await self._rig.exchange.faults() if not fault["hit"]
        ]
        return [Violation("not reached", f"never happened: {'; '.join(missed)}")] if missed else []

    async def clear(self) -> None:
        """All processes up, nothing armed, nothing held."""
        rig = self._rig
        await rig.arm(())
        await rig.exchange.disarm()
        await rig.end_second_worker()
        await rig.ready()
        await rig.close_by_hand(self._terms.coin)

    def abandon(self) -> None:
        """Nobody comes to relieve a paused process any more."""
        if self._relief is not None:
            self._relief.cancel()

    async def _begin(self, step: str) -> None:
        cell, exchange = self._cell, self._rig.exchange
        if step != cell.step:
            return
        if not any(blow.how == "hand" for blow in cell.blows):
            await self._arm_faults()
        for what in cell.streams:
            await exchange.post("streams", what)
        if cell.outage is not None:
            await exchange.post("outage", cell.outage)
        if cell.faults or cell.streams or cell.outage:
            self._struck_s = time.monotonic() + (cell.outage or {}).get("seconds", 0)
        if cell.held:
            await self._rig.kill_and_hold(*cell.held)
            self._struck_s = time.monotonic() + HELD_S
            if step != HAND:
                self._relief = asyncio.create_task(self._let_go())
        await self._rig.arm(cell.blows)
        if any(blow.how == "pause" for blow in cell.blows):
            self._relief = asyncio.create_task(self._wake_it() if cell.alone else self._take_over())

    async def _arm_faults(self) -> None:
        for fault in self._cell.faults:
            await self._rig.exchange.post("faults", fault)

    async def _be_halved(self, run: Run) -> None:
        """Somebody else has half of the position closed when this returns; what fails meets our orders, not theirs."""
        touched = await touch(self._rig, self._terms.coin, Deed.HALF_CLOSED)
        # The trade does not know of it before it looks: what it has sent by then is not against a hand.
        run.touches.append(replace(touched, to_ms=touched.from_ms))
        await self._arm_faults()

    async def _wake_it(self) -> None:
        await self._rig.conductor.all_fallen()
        await asyncio.sleep(self._cell.paused_s)
        self._struck_s = time.monotonic()
        self._rig.wake_paused()

    async def _take_over(self) -> None:
        await self._rig.conductor.all_fallen()
        await self._rig.start_second_worker()

    async def long_enough(self) -> None:
        """Counted from when the hand has done: a price that came then is late."""
        await asyncio.sleep(ABSENT_S)

    async def end(self) -> None:
        self._struck_s = time.monotonic()
        self._rig.let_go()

    async def _let_go(self) -> None:
        await asyncio.sleep(HELD_S)
        self._rig.let_go()

    async def _after(self, step: str) -> None:
        if step != self._cell.step or self._cell.anytime:
            return
        if self._cell.blows:
            try:
                await asyncio.wait_for(self._rig.conductor.all_fallen(), FALLS_WITHIN_S)
            except TimeoutError:
                return
        if self._relief is not None:
            await self._relief
        if self._rig.paused:
            woken_s = self._rig.conductor.last_blow_s + self._cell.paused_s
            await asyncio.sleep(max(0.0, woken_s - time.monotonic()))
            self._rig.wake_paused()
            await asyncio.sleep(LATE_WORDS_S)

    def _faulted(self) -> float | None:
        if self._cell.blows and self._rig.conductor.last_blow_s and not self._cell.alone:
            return self._rig.conductor.last_blow_s
        return self._struck_s


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else str(value)
