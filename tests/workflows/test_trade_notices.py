"""What a trade tells of by itself: a cycle's profit, an outage, and liquidation when it comes near."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from temporalio.client import Client

from activities.channels import NOTIFY_VARIABLE
from exchange.network import load_key
from exchange.port import Position
from settings import Settings
from tests.workflows.conftest import Rig, rig_of
from tests.workflows.test_reconcile import NOW
from tests.workflows.test_trade_cycle import CYCLE
from workflows import away
from workflows.liquidation import is_near, nearness_words


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[str], list[logging.LogRecord]]:
    """Notices with these words, as the worker logged them."""
    caplog.set_level(logging.INFO, "hypertrader.notice")
    return lambda words: [
        record for record in caplog.records if record.name == "hypertrader.notice" and words in record.getMessage()
    ]


def near_liquidation(client: Client, state_dir: Path) -> AbstractAsyncContextManager[Rig]:
    """With leverage 10, that is, and all that the account has."""
    account = load_key(Settings(state_dir=state_dir)).address
    return rig_of(client, state_dir, funded={account: Decimal(110)})


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while True:
            if holds():
                return
            await asyncio.sleep(0.02)


async def test_a_cycles_profit_and_an_outage_are_told_and_are_no_errors(
    rig: Rig, told: Callable[[str], list[logging.LogRecord]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(away, "CAUGHT_UP_AFTER", timedelta(milliseconds=300))
    opened = await rig.open()
    assert opened.anchor_price is not None
    for unit in CYCLE:
        await rig.price_at(opened.anchor_price + 2 * unit)
    await rig.until(lambda now: now.cycle == 2 and not now.order_in_flight)
    now_ms = int(time.time() * 1000)
    await rig.trade.signal("was_away", {"who": "feed", "from_ms": now_ms - 90_000, "to_ms": now_ms})
    await until(lambda: told("RESET at") and told("feed away for 90 s"))
    (reset,), (outage,) = told("RESET at"), told("feed away for 90 s")
    assert "cycle 1 made " in reset.getMessage()
    assert {reset.levelno, outage.levelno} == {logging.INFO}


async def test_liquidation_that_is_near_is_told_once_however_often_the_trade_looks(
    temporal: Client, tmp_path: Path, told: Callable[[str], list[logging.LogRecord]]
) -> None:
    async with near_liquidation(temporal, tmp_path) as rig:
        status = await rig.open(leverage=10)
        for _ in range(2):
            looked_ms = status.agreed_ms
            await rig.trade.signal("was_away", NOW)
            status = await rig.until(lambda now, before_ms=looked_ms: now.agreed_ms > before_ms)  # type: ignore[misc]
        await until(lambda: told("liquidation is near"))
        (record,) = told("liquidation is near")
        assert record.levelno == logging.ERROR


async def test_while_one_channel_fails_the_trade_goes_on_and_the_others_hear_once(
    temporal: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    repaired = asyncio.Event()

    async def receive(request: web.Request) -> web.Response:
        heard.append(request.path)
        return web.Response(status=200 if request.path == "/well" or repaired.is_set() else 500)

    app = web.Application()
    app.router.add_post("/{name}", receive)
    async with TestServer(app) as server, near_liquidation(temporal, tmp_path) as rig:
        both = " ".join(f"json://{server.host}:{server.port}/{name}" for name in ("fails", "well"))
        monkeypatch.setenv(NOTIFY_VARIABLE, both)
        opened = await rig.open(leverage=10)
        await rig.trade.signal("was_away", NOW)
        await until(lambda: set(heard) == {"/fails", "/well"})
        assert opened.anchor_price is not None
        await rig.price_at(opened.anchor_price - 2, -1)
        repaired.set()
        tries = len(heard)
        await until(lambda: len(heard) > tries)
    assert heard.count("/well") == 1


@pytest.mark.parametrize(
    ("mark_price", "was_near", "near"),
    [("112", False, False), ("111", False, True), ("112", True, True), ("118", True, False)],
)
def test_only_a_price_that_was_well_away_comes_near_again(mark_price: str, was_near: bool, near: bool) -> None:
    held = Position(coin="ETH", size=Decimal(1), mark_price=Decimal(mark_price), liquidation_price=Decimal(100))
    assert is_near(held, Decimal(10), was_near=was_near) is near
    assert not is_near(held, Decimal(0), was_near=was_near)
    assert "liquidation is near: at 100" in nearness_words(held)


def test_nothing_held_is_never_near() -> None:
    flat = Position(coin="ETH", size=Decimal(0), mark_price=Decimal(100), liquidation_price=Decimal(100))
    assert not is_near(flat, Decimal(10), was_near=True)
