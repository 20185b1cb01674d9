"""Blows fall at the boundary they are armed for, and nobody passes it before they have fallen."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sweep.conductor import Blow, Conductor
from sweep.crashing import Asker


class Stage:
    """A conductor whose blows are written down, and a process that reaches boundaries."""

    def __init__(self, folder: Path) -> None:
        self.fallen: list[tuple[str, str]] = []
        self.may_fall = asyncio.Event()
        self.may_fall.set()
        self.conductor = Conductor(folder / "conductor", self._strike)

    async def _strike(self, blow: Blow, asker: str) -> None:
        await self.may_fall.wait()
        self.fallen.append((blow.boundary, asker))

    def asker(self, name: str) -> Asker:
        return Asker(str(self.conductor.path), name)


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    # A socket's path has to be short.
    with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
        found = Stage(Path(folder))
        async with found.conductor:
            yield found


async def test_whoever_reaches_an_unarmed_boundary_goes_on() -> None:
    async with stage() as found:
        ask = await asyncio.to_thread(found.asker, "worker")
        await asyncio.to_thread(ask, "exchange.order.signed")
        assert found.conductor.seen == {"exchange.order.signed": 1}
        assert not found.fallen


async def test_nobody_passes_an_armed_boundary_before_the_blow_has_fallen() -> None:
    async with stage() as found:
        ask = await asyncio.to_thread(found.asker, "worker")
        found.conductor.arm(Blow("exchange.order.signed"))
        found.may_fall.clear()
        asking = asyncio.create_task(asyncio.to_thread(ask, "exchange.order.signed"))
        while not found.conductor.seen:  # noqa: ASYNC110  # a count that the thread makes rise
            await asyncio.sleep(0)
        assert not asking.done()
        assert found.conductor.left
        found.may_fall.set()
        await asking
        assert found.fallen == [("exchange.order.signed", "worker")]
        await found.conductor.all_fallen()


async def test_blows_fall_one_after_the_other_each_at_its_own_occurrence() -> None:
    async with stage() as found:
        ask = await asyncio.to_thread(found.asker, "feed")
        found.conductor.arm(Blow("a", nth=2), Blow("b"))
        for boundary, fallen in (("b", 0), ("a", 0), ("a", 1), ("a", 1), ("b", 2), ("b", 2)):
            await asyncio.to_thread(ask, boundary)
            assert len(found.fallen) == fallen
        assert [boundary for boundary, _ in found.fallen] == ["a", "b"]


async def test_what_is_armed_takes_the_place_of_what_was() -> None:
    async with stage() as found:
        ask = await asyncio.to_thread(found.asker, "worker")
        found.conductor.arm(Blow("a"))
        found.conductor.arm(Blow("b"))
        await asyncio.to_thread(ask, "a")
        assert not found.fallen
        assert [blow.boundary for blow in found.conductor.left] == ["b"]


def test_an_accepted_request_is_waited_for_where_it_was_sent() -> None:
    blow = Blow("exchange.order.accepted")
    assert (blow.asked_at, blow.waits_for_exchange) == ("exchange.order.sent", True)
    assert (Blow("execute_order.done").asked_at, Blow("execute_order.done").waits_for_exchange) == (
        "execute_order.done",
        False,
    )
