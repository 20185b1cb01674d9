"""A trade that a former release opened is taken over by today's code in mid-cycle, as if nothing had happened.

Prices stand still while nobody works, so every order has to be the one that today's code alone would have sent.
"""

import asyncio
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from journal.store import Journal
from tests.upgrade.scene import RELEASES, TODAY, Scene, environment, eventually, replayer, scene_of, unpacked

KEPT = sorted(archive.name.removesuffix(".tar.gz") for archive in RELEASES.glob("*.tar.gz"))
BEFORE = (1, 2, 1, 0)
AFTER = (-1, -2, -5, -3, -2, -1, 0, 1)
"""Over the end of the cycle: with the peak at 2 and the valley at -5, RESET comes at 0."""


@dataclass(frozen=True)
class Course:
    """What came of a trade that is at the end of its path and closed."""

    orders: list[tuple[str, str, str]]
    units: list[tuple[int, int]]
    resets: list[Decimal]
    ledger: dict[str, Any]


async def finished(scene: Scene) -> Course:
    """The trade goes over AFTER and is closed."""
    await scene.path(*AFTER)
    status = await scene.until(lambda now: now["cycle"] == 2 and not now["order_in_flight"])
    net = (await scene.hand.get_position("ETH")).size
    assert net == Decimal(status["ledger"]["net"])
    assert status["mode"] == "trading", status["attention"]
    await scene.trade.execute_update("close", {"reason": "the end"})
    await scene.trade.result()
    assert (await scene.hand.get_position("ETH")).size == 0
    journal = Journal(scene.settings.journal)
    await journal.open()
    try:
        lines = await journal.history(status["trade_id"])
        cloids = [order.cloid for order in await journal.orders(status["trade_id"])]
    finally:
        await journal.close()
    entries = [line.entry for line in lines]
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1)), "the journal is without a gap"
    assert len(set(cloids)) == len(cloids)
    changes = [(entry.from_unit, entry.to_unit) for entry in entries if entry.kind == "unit_change"]
    orders = await scene.orders_accepted()
    assert len(orders) <= len(cloids), "an order without an intent"
    return Course(
        orders=orders,
        # An order that expired is made anew, and its decision told once more.
        units=[change for change, _ in groupby(changes)],
        resets=[entry.allocation_usd for entry in entries if entry.kind == "reset"],
        ledger=status["ledger"],
    )


@pytest.fixture(scope="module")
async def undisturbed(upgraded_server: Client, tmp_path_factory: pytest.TempPathFactory) -> Course:
    """The same trade on today's code alone."""
    async with scene_of(upgraded_server, tmp_path_factory.mktemp("today")) as scene:
        scene.work(TODAY)
        await scene.open()
        await scene.path(*BEFORE)
        return await finished(scene)


@pytest.fixture(params=KEPT)
def old_sources(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return unpacked(request.param, tmp_path / "release")


def test_a_release_runs_its_own_code(old_sources: Path) -> None:
    code = "import sys, worker; print(*(m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)))"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=old_sources, env=environment(old_sources), capture_output=True, check=True
    )
    files = ran.stdout.decode().split()
    own = [file for file in files if file.startswith(f"{old_sources}/")]
    assert {f"{old_sources}/{name}" for name in ("worker.py", "workflows/trade.py", "strategy/fold.py")} <= set(own)
    assert not [file for file in files if file.startswith(f"{TODAY}/") and "site-packages" not in file]


async def test_an_open_trade_goes_on_in_the_middle_of_its_run(
    scene: Scene, old_sources: Path, undisturbed: Course
) -> None:
    scene.work(old_sources)
    await scene.open()
    opened = await scene.path(*BEFORE)
    assert opened["phase"] == "RETRACEMENT"
    taken_over = scene.client.get_workflow_handle(scene.trade.id, run_id=await scene.run_id())
    scene.work(TODAY)
    assert await finished(scene) == undisturbed
    # Begun by one release and ended by the other, it still is the history of one program.
    await replayer().replay_workflow(await taken_over.fetch_history())


async def test_a_thousand_prices_that_wait_for_the_new_code_make_a_new_run(
    scene: Scene, old_sources: Path, undisturbed: Course
) -> None:
    scene.work(old_sources)
    await scene.open()
    await scene.path(*BEFORE)
    run = await scene.run_id()
    scene.stop_work()
    # More than a run's history may have: prices that complete nothing.
    for _ in range(11):
        await asyncio.gather(*(scene.tell(BEFORE[-1]) for _ in range(100)))
    scene.work(TODAY)

    async def renewed() -> bool:
        return await scene.run_id() != run

    await eventually(renewed)
    assert await finished(scene) == undisturbed


@pytest.mark.parametrize(
    "lost",
    [
        pytest.param([("drop_reply", "order", 1), ("drop_request", "noop", 1000)], id="accepted"),
        pytest.param([("drop_request", "order", 1000), ("drop_request", "noop", 1000)], id="never arrived"),
    ],
)
async def test_an_order_that_is_on_its_way_is_settled_by_todays_code(
    scene: Scene, old_sources: Path, undisturbed: Course, lost: list[tuple[str, str, int]]
) -> None:
    scene.work(old_sources)
    await scene.open()
    await scene.path(*BEFORE[:-1])
    for kind, action, count in lost:
        await scene.control("faults", kind=kind, match={"action": action, "count": count})
    await scene.market(BEFORE[-1])
    await scene.tell(BEFORE[-1])

    async def noop_was_tried() -> bool:
        return any(fault["match"]["action"] == "noop" and fault["hit"] for fault in await scene.read_control("faults"))

    # The reply is lost when the noop that fences the order off is tried.
    await eventually(noop_was_tried)
    assert (await scene.status())["order_in_flight"]
    scene.stop_work()
    await scene.no_faults()
    scene.work(TODAY)
    await scene.until(lambda now: Decimal(now["price"]) == scene.price(BEFORE[-1]) and not now["order_in_flight"])
    assert await finished(scene) == undisturbed
