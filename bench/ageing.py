"""A trade after 100 unit changes and after 100,000: its speed, its worker's memory, and the state it carries.

The whole stack with one trade on ETH. It is aged by signals such as the feed sends, full of unit changes that go down
the ladder and up again; each is decided, and written to the journal. Between the ages it is measured as `bench.latency`
does: from a price's arrival at the feed's socket to its order's at the simulator. Memory is that of the worker process,
as it is and after a restart, when it holds what the trade needs and nothing of its past. Linux only.

    python -m bench.ageing [--changes 100000] [--rounds 200]
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from activities.messages import UnitsMoved
from bench.latency import UNIT, WARM_UP, arrivals_ns, delays_ms, received_ms
from bench.restart import rank
from cli import trades
from cli.demo import settled
from cli.errors import CommandFailed
from cli.paper import control_of, fund_once, paper_account, wait_until_followed
from cli.ports import Ports
from cli.stack import Stack
from journal.store import Journal
from settings import Settings
from strategy.values import Tick
from workflows.asked import workflow_id
from workflows.contracts import TradeRecord
from workflows.status import TradeStatus

COIN, MARGIN_USD = "ETH", 1000
YOUNG, OLD, ROUNDS = 100, 100_000, 200
ROUND_TRIP = (-1, -2, -3, -2, -1, 0)
"""Lines down the ladder and up again: a change each, and no order is due in the end."""
CHANGES_PER_SIGNAL = 996
SAID_EVERY = 20
"""Signals."""
WITHIN_S = 300.0
POLL_S = 0.05


@dataclass(frozen=True)
class Age:
    """What was measured after so many changes of unit."""

    changes: int
    latencies_ms: list[float]
    memory_mb: float
    restarted_mb: float
    carried_bytes: int


class Subject:
    """The trade that gets old. `changes` counts what its journal has."""

    def __init__(self, stack: Stack, opened: TradeStatus) -> None:
        assert opened.anchor_price is not None and opened.trade_id is not None
        self._stack = stack
        self._anchor = opened.anchor_price
        self._trade_id = opened.trade_id
        self._handle = stack.client.get_workflow_handle(workflow_id(COIN))
        self._journal = Journal(stack.settings.journal)
        self._signals = 0
        self.changes = 0

    async def open_journal(self) -> None:
        await self._journal.open()

    async def close_journal(self) -> None:
        await self._journal.close()

    async def age(self, changes: int) -> None:
        """Until it has seen that many, to the next round trip. One signal after the other: of more than a thousand
        prices that wait, a trade keeps only the turning points."""
        began_s, before = time.monotonic(), self.changes
        while self.changes < changes:
            count = min(CHANGES_PER_SIGNAL, changes - self.changes + 5) // len(ROUND_TRIP) * len(ROUND_TRIP)
            await self._tell(count)
            if self._signals % SAID_EVERY == 0 or self.changes >= changes:
                speed = (self.changes - before) / (time.monotonic() - began_s)
                print(f"{self.changes} unit changes, {speed:.0f} a second", flush=True)
        found = len(await self._journal.history(self._trade_id, kinds=["unit_change"]))
        if found != self.changes:
            raise SystemExit(f"the journal has {found} unit changes, {self.changes} were told")

    async def _tell(self, count: int) -> None:
        self._signals += 1
        now_ms = time.time_ns() // 1_000_000
        lines = [ROUND_TRIP[number % len(ROUND_TRIP)] for number in range(count)]
        prices = [self._anchor + line * UNIT for line in lines]
        # Known again in the journal: within the last line's unit, at a price of its own.
        prices[-1] += Decimal(self._signals % 1_000 + 1) / 10_000
        ticks = tuple(Tick(price=price, time_ms=now_ms) for price in prices)
        await self._handle.signal("units_moved", UnitsMoved(ticks=ticks, tid=self._signals))

        async def written() -> bool:
            newest = await self._journal.history(self._trade_id, kinds=["unit_change"], limit=1)
            return bool(newest) and getattr(newest[0].entry, "price", None) == prices[-1]

        await until(written, f"{count} unit changes of signal {self._signals} in the journal")
        self.changes += count

    async def measured(self, rounds: int) -> Age:
        changes = self.changes
        latencies_ms = await self._latencies_ms(rounds)
        carried_bytes = await self._carried_bytes()
        memory_mb = self._memory_mb()
        await self._restart_worker()
        restarted_mb = self._memory_mb()
        return Age(changes, latencies_ms, memory_mb, restarted_mb, carried_bytes)

    async def _latencies_ms(self, rounds: int) -> list[float]:
        """Down completes a unit and takes a step, up completes one and undoes it: an order each."""
        began_ms = time.time_ns() // 1_000_000
        for _ in range((rounds + WARM_UP + 1) // 2):
            await self._down_and_up()
        assert self._stack.settings.trace_file is not None
        got_ms = await received_ms(control_of(self._stack), paper_account(self._stack.settings))
        mine = {cloid: at_ms for cloid, at_ms in got_ms.items() if at_ms >= began_ms}
        return delays_ms(arrivals_ns(self._stack.settings.trace_file), mine)

    async def _down_and_up(self) -> None:
        for price in (self._anchor - UNIT, self._anchor):
            await control_of(self._stack).set_price(COIN, price)
            await settled(self._stack.client, COIN, price)
            self.changes += 1

    async def _carried_bytes(self) -> int:
        """What the next run begins with, as JSON; without what waits to be folded or written at that moment."""
        before = (await self._handle.describe()).run_id
        while (await self._handle.describe()).run_id == before:
            await self._down_and_up()
        async for event in self._handle.fetch_history_events(page_size=1):
            begun = event.workflow_execution_started_event_attributes
            (record,) = await self._stack.client.data_converter.decode(begun.input.payloads, [TradeRecord])
            assert isinstance(record, TradeRecord)
            return len(record.model_copy(update={"inbox": [], "outbox": []}).model_dump_json())
        raise CommandFailed(f"the history of {self._handle.id} is empty")

    def _memory_mb(self) -> float:
        """Resident, of the worker process."""
        pages = int(Path(f"/proc/{self._stack.children['worker'].pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    async def _restart_worker(self) -> None:
        """Killed, started again by its keeper, and asked for an order: then the trade is in its memory."""
        worker = self._stack.children["worker"]
        starts = worker.starts
        worker.kill()

        async def is_another() -> bool:
            return worker.starts > starts and worker.pid is not None

        await until(is_another, "another worker")
        await self._down_and_up()


async def until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while not await holds():
        if time.monotonic() > deadline_s:
            raise SystemExit(f"{what}: not within {WITHIN_S:.0f} s")
        await asyncio.sleep(POLL_S)


async def measure(changes: int, rounds: int, folder: Path) -> tuple[Age, Age]:
    settings = Settings(state_dir=folder, trace_file=folder / "spans.jsonl")
    async with Stack(settings, Ports.free(), simulator_options=["--still"]) as stack:
        await fund_once(stack, Decimal(MARGIN_USD))
        opened = await trades.start_trade(
            COIN, MARGIN_USD, UNIT, yes=True, settings=stack.settings, client=stack.client
        )
        await wait_until_followed(stack.client, control_of(stack), COIN)
        subject = Subject(stack, opened)
        await subject.open_journal()
        try:
            await subject.age(YOUNG)
            young = await subject.measured(rounds)
            await subject.age(changes)
            return young, await subject.measured(rounds)
        finally:
            await subject.close_journal()


def report(young: Age, old: Age) -> None:
    print(f"{'':32} {'after ' + str(young.changes):>14} {'after ' + str(old.changes):>14} {'ratio':>7}")
    for name, of in (
        ("unit to order, p50, ms", lambda age: rank(age.latencies_ms, 50)),
        ("unit to order, p99, ms", lambda age: rank(age.latencies_ms, 99)),
        ("worker's memory, MB", lambda age: age.memory_mb),
        ("worker's memory, restarted, MB", lambda age: age.restarted_mb),
        ("state carried, bytes", lambda age: float(age.carried_bytes)),
    ):
        print(f"{name:32} {of(young):14.1f} {of(old):14.1f} {of(old) / of(young):7.2f}")
    print(f"{len(young.latencies_ms)} and {len(old.latencies_ms)} orders; load {os.getloadavg()[0]:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="whether a trade gets slower or larger with its age")
    parser.add_argument("--changes", type=int, default=OLD, help=f"more than {YOUNG}; default {OLD}")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="orders measured at each age")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hypertrader-bench-") as folder:
        report(*asyncio.run(measure(asked.changes, asked.rounds, Path(folder))))


if __name__ == "__main__":
    main()
