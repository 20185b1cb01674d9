"""Records what trades of a release leave in Temporal, for `test_old_histories.py` to replay with all later code.

At a release, from the repository's top, with its version and commit:

    git archive --format=tar.gz -o tests/upgrade/releases/0.2.0.tar.gz v0.2.0 \\
        activities exchange feed journal strategy telemetry workflows settings.py connection.py worker.py
    .venv/bin/python -m tests.upgrade.record 0.2.0 [story ...]

Histories are recorded once and never edited: what a release did stays what it did.
"""

import asyncio
import gzip
import sys
import tempfile
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowContinuedAsNewError, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from tests.upgrade.scene import HISTORIES, Scene, eventually, scene_of, temporal_server, unpacked

CYCLE = (1, 2, 3, 2, 1, 0, -1, -2, -5, -4, -3, -2, -1, 0)
RENEWED_AFTER_UNITS = (1, 0, 1, 2, 1, 0, -1, 0, 1, 2, 3, 2, 3, 4)


async def whole_cycle(scene: Scene) -> None:
    await scene.open()
    await scene.path(*CYCLE)
    await scene.until(lambda now: now["cycle"] == 2 and not now["order_in_flight"])
    await scene.path(1, 0)


async def open_in_retracement(scene: Scene) -> None:
    await scene.open()
    await scene.path(1, 2, 1, 0)


async def open_in_recovery(scene: Scene) -> None:
    await scene.open()
    await scene.path(-1, -2, -5, -3)


async def gap_over_a_whole_cycle(scene: Scene) -> None:
    await scene.open()
    lines = (2, -6, 4, 3)
    await scene.market(lines[-1])
    await scene.tell(*lines)
    await scene.until(lambda now: Decimal(now["price"]) == scene.price(lines[-1]) and not now["order_in_flight"])


async def paused_and_resumed(scene: Scene) -> None:
    await scene.open()
    await scene.trade.execute_update("pause", {"reason": "lunch"})
    await scene.path(-1, -2, -3)
    await scene.trade.execute_update("resume", {})
    await scene.until(lambda now: len(now["last_orders"]) == 2 and not now["order_in_flight"])
    await scene.trade.signal("pause", {"reason": "again"})
    await scene.path(-6)
    await scene.trade.signal("resume", {})
    await scene.until(lambda now: len(now["last_orders"]) == 3 and not now["order_in_flight"])


async def new_unit_sizes(scene: Scene) -> None:
    await scene.open()
    await scene.trade.execute_update("set_unit_size", {"unit_size": "3"})
    await scene.trade.signal("set_unit_size", {"unit_size": "2", "reason": "by signal"})
    await scene.until(lambda now: now["unit_size"] == "2")
    await scene.path(-2)
    await _refused_update(scene, "set_unit_size", {"unit_size": "4"})
    await scene.trade.signal("set_unit_size", {"unit_size": "4"})
    await scene.until(lambda now: bool(now["notes"]))


async def attention_and_resume(scene: Scene) -> None:
    await scene.open(margin_usd="900")
    await scene.path(-1, -2, -3, -4)
    # A hand takes the margin that the last step's short needs.
    await scene.hand.set_leverage("BTC", 40, nonce=scene.hand.draw_nonce())
    price = (await scene.hand.market_rules("BTC")).mid_price
    await scene.hand.place_market_order("BTC", "buy", 28_000 / price)
    await scene.market(-5)
    await scene.tell(-5)
    await scene.until(lambda now: now["mode"] == "attention")
    await scene.hand.close_position("BTC")
    await scene.trade.execute_update("resume", {"reason": "margin is back"})
    await scene.until(lambda now: now["phase"] == "DECLINE" and not now["order_in_flight"])


async def attention_and_close(scene: Scene) -> None:
    await scene.open(margin_usd="900")
    await scene.hand.set_leverage("BTC", 40, nonce=scene.hand.draw_nonce())
    price = (await scene.hand.market_rules("BTC")).mid_price
    await scene.hand.place_market_order("BTC", "buy", 3_900 / price)
    await scene.path(-1, -2, -3)
    await scene.market(-5)
    await scene.tell(-5)
    await scene.until(lambda now: now["mode"] == "attention" or now["phase"] == "DECLINE")
    await scene.trade.signal("close", {"reason": "enough"})
    await scene.trade.result()


async def closed_by_update(scene: Scene) -> None:
    await scene.open()
    await scene.path(-1)
    await scene.trade.execute_update("close", {"reason": "enough"})
    await scene.trade.result()


async def closed_by_signal_with_prices_waiting(scene: Scene) -> None:
    await scene.open()
    await scene.control("depth", coin="ETH", levels=0)
    await scene.market(-1)
    await scene.tell(-1)
    await scene.until(lambda now: "could not immediately match" in now["last_orders"][-1]["status"])
    await scene.tell(-3)
    await scene.trade.signal("close", {})
    await scene.until(lambda now: now["mode"] == "closing")
    await scene.control("depth", coin="ETH", levels=20)
    await scene.trade.result()


async def cancelled(scene: Scene) -> None:
    await scene.open()
    await scene.path(-1)
    await scene.trade.cancel()
    await scene.trade.result()


async def refused_input(scene: Scene) -> None:
    await scene.open()
    for name, given in (
        ("pause", ["now"]),
        ("pause", [{"reason": 5}]),
        ("pause", [{}, {}]),
        ("resume", []),
        ("set_unit_size", [{"unit_size": "NaN"}]),
        ("units_moved", [{"ticks": []}]),
        ("halt_and_catch_fire", [{"now": True}]),
    ):
        await scene.trade.signal(name, args=given)
    await _refused_update(scene, "resume", {})
    await scene.path(-1)


async def order_with_a_lost_reply(scene: Scene) -> None:
    await scene.open()
    await scene.control("faults", kind="drop_reply", match={"action": "order"})
    await scene.path(-1, -2)


async def order_that_finds_nobody(scene: Scene) -> None:
    await scene.open()
    await scene.control("depth", coin="ETH", levels=0)
    await scene.market(-1)
    await scene.tell(-1)
    await scene.until(lambda now: "could not immediately match" in now["last_orders"][-1]["status"])
    await scene.tell(0)
    await scene.control("depth", coin="ETH", levels=20)
    await scene.until(lambda now: Decimal(now["price"]) == scene.price(0) and not now["order_in_flight"])
    await scene.path(-1)


async def order_on_its_way(scene: Scene) -> None:
    await scene.open()
    await scene.control("faults", kind="drop_request", match={"count": 100_000})
    await scene.market(-1)
    await scene.tell(-1)
    await scene.until(lambda now: now["order_in_flight"])
    await scene.tell(-2)
    # The journal stops waiting for the outcome after three seconds.
    await asyncio.sleep(4)


async def opening(scene: Scene) -> None:
    await scene.open()


async def opening_in_parts(scene: Scene) -> None:
    await scene.control("depth", coin="ETH", levels=1, size_usd="1000")
    await scene.open()
    await scene.control("depth", coin="ETH", levels=20)


async def opening_refused(scene: Scene) -> None:
    try:
        await scene.open(unit_size="700")
    except WorkflowFailureError:
        return
    raise AssertionError("the opening was not refused")


async def feed_that_gives_up(scene: Scene) -> None:
    tries = 0

    @activity.defn(name="track_units")
    async def gives_up(request: dict[str, Any]) -> None:
        nonlocal tries
        tries += 1
        raise ApplicationError(f"no prices of {request['coin']}", non_retryable=True)

    async with Worker(scene.client, task_queue="feed", activities=[gives_up]):
        await scene.open()
        await scene.until(lambda now: any("the feed gave up" in note for note in now["notes"]))
        await scene.path(-1)

        async def tried_again() -> bool:
            return tries > 1

        await eventually(tried_again)


async def renewed(scene: Scene) -> None:
    await scene.open()
    first = await scene.run_id()
    while await scene.run_id() == first:
        for line in RENEWED_AFTER_UNITS:
            await scene.market(line)
            await scene.tell(line)
    last = scene.price(RENEWED_AFTER_UNITS[-1])
    await scene.until(lambda now: Decimal(now["price"]) == last and not now["order_in_flight"])
    await scene.path(3, 2)


STORIES: tuple[Callable[[Scene], Awaitable[None]], ...] = (
    whole_cycle,
    open_in_retracement,
    open_in_recovery,
    gap_over_a_whole_cycle,
    paused_and_resumed,
    new_unit_sizes,
    attention_and_resume,
    attention_and_close,
    closed_by_update,
    closed_by_signal_with_prices_waiting,
    cancelled,
    refused_input,
    order_with_a_lost_reply,
    order_that_finds_nobody,
    order_on_its_way,
    opening,
    opening_in_parts,
    opening_refused,
    feed_that_gives_up,
    renewed,
)


async def _refused_update(scene: Scene, name: str, given: dict[str, Any]) -> None:
    try:
        await scene.trade.execute_update(name, given)
    except WorkflowUpdateFailedError:
        return
    raise AssertionError(f"{name} {given} was not refused")


async def _runs(scene: Scene) -> list[str]:
    """Ids of the trade's runs, oldest first."""
    runs = [scene.trade.first_execution_run_id or ""]
    while runs[-1] != (newest := await scene.run_id()):
        try:
            await scene.client.get_workflow_handle(scene.trade.id, run_id=runs[-1]).result(follow_runs=False)
        except WorkflowContinuedAsNewError as renewed_as:
            runs.append(renewed_as.new_execution_run_id)
        else:
            raise AssertionError(f"run {runs[-1]} of {scene.trade.id} ended; the newest is {newest}")
    return runs


async def record(client: Client, release: str, story: Callable[[Scene], Awaitable[None]], folder: Path) -> None:
    name = story.__name__
    with tempfile.TemporaryDirectory(prefix="hypertrader-record-") as state:
        async with scene_of(client, Path(state)) as scene:
            scene.work(unpacked(release, Path(state) / "release"))
            await story(scene)
            for number, run_id in enumerate(await _runs(scene), 1):
                # The first run is the opening, much the same in every story.
                if (number == 1) != name.startswith("opening"):
                    continue
                history = await client.get_workflow_handle(scene.trade.id, run_id=run_id).fetch_history()
                file = folder / f"{name}-{number}.json.gz"
                file.write_bytes(gzip.compress(history.to_json().encode(), mtime=0))
                print(f"{file.name}: {len(history.events)} events, {file.stat().st_size} bytes")  # noqa: T201
            scene.stop_work()
            if (await scene.trade.describe()).close_time is None:
                await scene.trade.terminate()


async def main() -> None:
    release, *wanted = sys.argv[1:]
    folder = HISTORIES / release
    folder.mkdir(parents=True, exist_ok=True)
    async with temporal_server() as client:
        for story in STORIES:
            if not wanted or story.__name__ in wanted:
                await record(client, release, story, folder)


if __name__ == "__main__":
    asyncio.run(main())
