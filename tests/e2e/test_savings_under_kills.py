"""kill -9 of the worker at every step of one purchase of savings: 10 USD leave the margin once, and buy once."""

from decimal import Decimal
from pathlib import Path

import pytest

from connection import connect
from exchange.spot_port import LedgerUpdate
from sweep.conductor import Blow
from sweep.rig import FUNDED_USD, Rig, started_rig
from tests.workflows.played import played_portfolio

STEPS = (
    "ask_margin.arrived",
    "prepare_transfer.reported",
    "exchange.usdClassTransfer.signed",
    "exchange.usdClassTransfer.accepted",
    "make_transfer.arrived",
    "draw_nonce.reported",
    "exchange.order.accepted",
    "execute_order.booked",
)
RENEWED_ABOVE = 12
"""Events: so that the portfolio goes on in a new run between any two steps."""


async def moves(rig: Rig) -> list[LedgerUpdate]:
    async with rig.by_hand() as gateway:
        return [each for each in await gateway.spot.ledger_updates(since_ms=0) if each.kind == "accountClassTransfer"]


@pytest.mark.timeout(300)
@pytest.mark.drill
async def test_a_worker_that_is_killed_at_every_step_saves_once(tmp_path: Path) -> None:
    rig = await started_rig(tmp_path / "state", renew_above=RENEWED_ABOVE)
    try:
        async with rig.by_hand() as gateway:
            # With what a former purchase left over, 10 USD are above the exchange's minimum.
            await gateway.spot.transfer(await gateway.spot.prepare_transfer(Decimal(1), to_perp=False))
        async with played_portfolio(await connect(rig.settings), spot_usd={"ETH": Decimal(1)}) as portfolio:
            await rig.arm([Blow(step) for step in STEPS])
            granted = await portfolio.earn(50)
            status = await portfolio.until(lambda now: now.saved, within_s=200)
            assert rig.conductor.left == (), "the worker was killed at every step"
            await portfolio.until(lambda now: now.purchase is None)
        assert granted.margin_usd == (FUNDED_USD - 1) * Decimal("0.4") + 25
        assert (status.book.reserve_usd, status.book.owed) == (15, {})
        assert [each.perp_usd for each in await moves(rig)] == [-1, -10]
        spot = (await rig.books())["spot"]
        assert [(each["side"], each["sz"]) for each in spot["fills"]] == [("B", "0.0031")]
        assert [(each.size, each.usd) for each in status.saved] == [(Decimal("0.00309783"), Decimal("10.69531"))]
    finally:
        # It would look at the account to the end of its minute.
        await rig.kill_and_hold("worker")
        await rig.stop()
