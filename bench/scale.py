"""Twenty coins beside one, and two hundred trades that complete a unit every five seconds.

The whole stack, with one worker and one feed. First one coin, one trade open; then a trade on each of twenty, of which
by turns one moves, all move each at its own moments, and all move at once. Then more trades are opened, on made-up
coins, until there are as many as asked for, and all of them move. Every completed unit makes an order. Printed: from
the price's arrival at the feed's socket to its order's at the simulator, orders a second, the units that the trades
counted by their journal, how long one of them went without at most, and what each process took of the processors.
Linux only.

    python -m bench.scale [--coins 20] [--rounds 10] [--crowd 200] [--stretch 60] [--limits]

A trade that is late decides on several units at once, by one order or none, which is right for it and shows here as
units without one. `--limits` holds simulator and worker to the exchange's rate budget.
"""

import argparse
import asyncio
import itertools
import math
import os
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path

from bench.latency import arrivals_ns, received_ms
from bench.restart import Subject, opened, rank, tradable
from cli.errors import CommandFailed
from cli.paper import control_of, paper_account
from cli.ports import Ports
from cli.stack import Stack
from journal.store import Journal
from settings import WEIGHT_PER_MINUTE, Settings
from simulator.listings import list_more
from simulator.markets import Market

COINS, ROUNDS, CROWD = 20, 10, 200
ALONE_S, TOGETHER_S, STRETCH_S = 40.0, 20.0, 60.0
ALONE_EVERY_S, EVERY_S = 2.0, 5.0
"""Between a coin's units, where one moves and where many do. A trade's units take minutes or hours; an order later than
this is late."""
TICKS, TICKS_OF_A_CROWD = 2, 0
"""Prices between one unit and the next, which complete none. Of a crowd they would cost simulator and bench half of the
machine."""
SETTLE_S, SETTLES_WITHIN_S = 2.0, 60.0
WARM_UP_S = 10.0
PROCESSES = ("worker", "temporal", "feed", "simulator")
UNITS_OF_TIME = os.sysconf("SC_CLK_TCK")


class Mover:
    """Takes a trade's price a unit down and up again, for as long as it is told."""

    def __init__(self, stack: Stack, subject: Subject) -> None:
        self._control = control_of(stack)
        self._subject = subject
        self._coin = subject.market.coin
        self._is_down = False
        self._between = subject.market.round_price((subject.price(down=True) + subject.price(down=False)) / 2)

    async def unit(self) -> None:
        self._is_down = not self._is_down
        await self._to(self._subject.price(down=self._is_down))

    async def units(self, seconds: float, every_s: float, ticks: int) -> int:
        """At its own moments, with ticks between; how many."""
        end_s = time.monotonic() + seconds
        next_s = time.monotonic() + random.uniform(0, every_s)
        count = 0
        while next_s < end_s:
            await asyncio.sleep(max(0.0, next_s - time.monotonic()))
            await self.unit()
            count += 1
            step_s = every_s * random.uniform(0.8, 1.2) / (ticks + 1)
            for _ in range(ticks):
                next_s += step_s
                await asyncio.sleep(max(0.0, next_s - time.monotonic()))
                await self._to(self._between)
            next_s += step_s
        return count

    async def _to(self, price: Decimal) -> None:
        try:
            await self._control.set_price(self._coin, price)
        except CommandFailed as error:
            # The machine stood still. It may be set already, and the same price twice is no unit.
            print(f"{error}: {self._coin} once more", flush=True)
            await self._control.set_price(self._coin, price)


@dataclass(frozen=True)
class Stretch:
    """Some seconds of a run; `cpu` in processors."""

    what: str
    seconds: float
    units: int
    began_ms: int
    ended_ms: int
    cpu: Mapping[str, float]
    memory_mb: Mapping[str, float]


@dataclass(frozen=True)
class Outcome:
    """What one kind of stretch came to, all rounds of it together."""

    what: str
    seconds: float
    units: int
    counted: int
    """Of the units, by the trades."""
    trades: int
    """That counted any."""
    orders: int
    latencies_ms: list[float]
    longest_s: float
    """That one of them counted none while its price moved."""
    cpu: Mapping[str, float]
    memory_mb: Mapping[str, float]


class Watch:
    """Runs stretches, and notes beside each what the processes took."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.stretches: list[Stretch] = []

    async def run(self, what: str, moving: Callable[[], Awaitable[int]]) -> None:
        began_s, began_ms, before = time.monotonic(), _now_ms(), self._cpu_s()
        units = await moving()
        seconds = time.monotonic() - began_s
        after = self._cpu_s()
        await self._settled()
        print(f"{what}: {units} units in {seconds:.0f} s", flush=True)
        cpu = {name: (after[name] - before[name]) / seconds for name in PROCESSES}
        self.stretches.append(Stretch(what, seconds, units, began_ms, _now_ms(), cpu, self._memory_mb()))

    async def _settled(self) -> None:
        """Until the exchange is asked nothing more: what one stretch left undone is not the next one's."""
        control, deadline_s = control_of(self._stack), time.monotonic() + SETTLES_WITHIN_S
        before, asked = -1, 0
        while before != asked and time.monotonic() < deadline_s:
            await asyncio.sleep(SETTLE_S)
            before, asked = asked, (await control.state())["requests"]

    async def outcomes(self) -> list[Outcome]:
        settings = self._stack.settings
        got_ms = await received_ms(control_of(self._stack), paper_account(settings))
        assert settings.trace_file is not None
        arrived_ns = arrivals_ns(settings.trace_file)
        counted_ms = await _counted_ms(settings.journal)
        kinds = dict.fromkeys(each.what for each in self.stretches)
        return [
            _outcome([each for each in self.stretches if each.what == kind], arrived_ns, got_ms, counted_ms)
            for kind in kinds
        ]

    def _cpu_s(self) -> dict[str, float]:
        found = {}
        for name in PROCESSES:
            fields = Path(f"/proc/{self._stack.children[name].pid}/stat").read_text().rpartition(")")[2].split()
            found[name] = (int(fields[11]) + int(fields[12])) / UNITS_OF_TIME
        return found

    def _memory_mb(self) -> dict[str, float]:
        page = os.sysconf("SC_PAGE_SIZE") / 1e6
        pids = {name: self._stack.children[name].pid for name in PROCESSES}
        return {name: int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page for name, pid in pids.items()}


def _outcome(
    rounds: Sequence[Stretch],
    arrived_ns: Mapping[str, int],
    got_ms: Mapping[str, int],
    counted_ms: Mapping[str, Sequence[int]],
) -> Outcome:
    seconds = sum(each.seconds for each in rounds)
    # By when their prices came: what was late counts where it was due.
    cloids = [
        cloid
        for cloid, at_ns in arrived_ns.items()
        if cloid in got_ms and any(each.began_ms <= at_ns / 1e6 <= each.ended_ms for each in rounds)
    ]
    counted = [[times for at_ms in counted_ms.values() if (times := _within(each, at_ms))] for each in rounds]
    return Outcome(
        what=rounds[0].what,
        seconds=seconds,
        units=sum(each.units for each in rounds),
        counted=sum(len(times) for trades in counted for times in trades),
        trades=max(map(len, counted)),
        orders=sum(len(_within(each, list(got_ms.values()))) for each in rounds),
        longest_s=max(
            (_longest_s(each, times) for each, trades in zip(rounds, counted, strict=True) for times in trades),
            default=math.inf,
        ),
        # The simulator's clock ticks in ms: half of one is added, for what it cuts off.
        latencies_ms=[got_ms[cloid] + 0.5 - arrived_ns[cloid] / 1e6 for cloid in cloids],
        cpu={name: sum(each.cpu[name] * each.seconds for each in rounds) / seconds for name in PROCESSES},
        memory_mb=rounds[-1].memory_mb,
    )


async def _counted_ms(url: str) -> dict[str, list[int]]:
    """When each trade counted units."""
    journal, found = Journal(url), {}
    await journal.open()
    try:
        for trade in await journal.trades():
            lines = await journal.history(trade.trade_id, kinds=["unit_change"])
            found[trade.trade_id] = [line.entry.at_ms for line in lines]
    finally:
        await journal.close()
    return found


def _within(stretch: Stretch, times_ms: Sequence[int]) -> list[int]:
    return [at_ms for at_ms in times_ms if stretch.began_ms <= at_ms <= stretch.ended_ms]


def _longest_s(stretch: Stretch, times_ms: Sequence[int]) -> float:
    """Without a unit, while prices moved."""
    until_ms = stretch.began_ms + 1000 * stretch.seconds
    steps = [stretch.began_ms, *sorted(each for each in times_ms if each < until_ms), until_ms]
    return max(after - before for before, after in itertools.pairwise(steps)) / 1000


async def together(movers: Sequence[Mover], seconds: float, every_s: float, ticks: int = TICKS) -> int:
    counts = asyncio.gather(*(mover.units(seconds, every_s, ticks) for mover in movers))
    await asyncio.sleep(seconds)
    return sum(await counts)


async def at_once(movers: Sequence[Mover], seconds: float, every_s: float) -> int:
    times = max(1, round(seconds / every_s))
    for _ in range(times):
        await asyncio.gather(*(mover.unit() for mover in movers))
        await asyncio.sleep(every_s)
    return times * len(movers)


async def measure(asked: argparse.Namespace, folder: Path) -> list[Outcome]:
    settings = Settings(state_dir=folder, trace_file=folder / "spans.jsonl", paper_limits=asked.limits)
    count = max([asked.coins, *asked.crowd])
    list_more(count)
    markets = tradable(count)
    options = ["--still", "--in-memory", "--more-coins", str(count)]
    async with Stack(settings, Ports.free(), simulator_options=options) as stack:
        watch, movers = Watch(stack), await _movers(stack, [], markets[:1])
        if asked.rounds:
            await watch.run("1 coin, one trade open", partial(together, movers, ALONE_S, ALONE_EVERY_S))
            movers = await _movers(stack, movers, markets[: asked.coins])
            for _ in range(asked.rounds):
                await watch.run(f"1 coin of {asked.coins}", partial(together, movers[:1], ALONE_S, ALONE_EVERY_S))
                await watch.run(f"{asked.coins} coins", partial(together, movers, TOGETHER_S, EVERY_S))
                await watch.run(f"{asked.coins} coins at once", partial(at_once, movers, TOGETHER_S / 2, EVERY_S))
        for count in asked.crowd:
            movers = await _movers(stack, movers, markets[:count])
            await watch.run(f"{count} trades, still", partial(together, [], asked.stretch / 2, EVERY_S))
            await watch.run(f"{count} trades", partial(together, movers, asked.stretch, EVERY_S, TICKS_OF_A_CROWD))
        return await watch.outcomes()


async def _movers(stack: Stack, movers: list[Mover], markets: Sequence[Market]) -> list[Mover]:
    """Those there are, and one more for each market after them."""
    began_s = time.monotonic()
    more = [Mover(stack, subject) for subject in await opened(stack, markets[len(movers) :])]
    print(f"{len(markets)} trades are open, after {time.monotonic() - began_s:.0f} s more", flush=True)
    await together(more, WARM_UP_S, EVERY_S)
    return movers + more


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def report(outcomes: Sequence[Outcome], *, limits: bool) -> None:
    print(
        f"{'':24} {'units':>6} {'counted':>7} {'trades':>6} {'longest s':>9} {'orders':>6} {'a second':>8}"
        f" {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8} {'late':>5}"
    )
    for each in outcomes:
        if found := each.latencies_ms:
            late = sum(1 for latency_ms in found if latency_ms > 1000 * EVERY_S)
            print(
                f"{each.what:24} {each.units:6} {each.counted:7} {each.trades:6} {each.longest_s:9.1f} {each.orders:6}"
                f" {each.orders / each.seconds:8.1f} {rank(found, 50):8.1f} {rank(found, 99):8.1f}"
                f" {max(found):8.1f} {late:5}"
            )
    print(f"\n{'processors, and MB':24}" + "".join(f" {name:>16}" for name in PROCESSES))
    for each in outcomes:
        used = "".join(f" {each.cpu[name]:7.2f} {each.memory_mb[name]:8.0f}" for name in PROCESSES)
        print(f"{each.what:24}{used}")
    print(f"\n{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    a_minute = 60 * max(each.orders / each.seconds for each in outcomes)
    print(
        f"rate budget: {'kept to' if limits else 'off, as on paper'}. An order weighs 1: the exchange allows"
        f" {WEIGHT_PER_MINUTE} a minute, a worker's share is {Settings().worker_weight}; here were {a_minute:.0f}"
    )


def report_ratios(outcomes: Sequence[Outcome], coins: int) -> None:
    by_name = {each.what: each.latencies_ms for each in outcomes}
    one = by_name[f"1 coin of {coins}"]
    for what in (f"{coins} coins", f"{coins} coins at once"):
        many = by_name[what]
        ratios = ", ".join(f"p{share} {rank(many, share) / rank(one, share):.2f} times" for share in (50, 99))
        print(f"{what} beside one: {ratios}")


def main() -> None:
    parser = argparse.ArgumentParser(description="many coins beside one, and many trades at once")
    parser.add_argument("--coins", type=int, default=COINS)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of one coin and all, by turns; 0: only the crowd")
    parser.add_argument("--crowd", type=int, nargs="*", default=[CROWD], help="numbers of trades, rising")
    parser.add_argument("--stretch", type=float, default=STRETCH_S, help="seconds each of them is watched")
    parser.add_argument("--limits", action="store_true", help="the exchange's rate budget holds")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hypertrader-bench-") as folder:
        outcomes = asyncio.run(measure(asked, Path(folder)))
    report(outcomes, limits=asked.limits)
    if asked.rounds:
        report_ratios(outcomes, asked.coins)


if __name__ == "__main__":
    main()
