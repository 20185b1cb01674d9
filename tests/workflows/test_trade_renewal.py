"""A trade's history stays small: its run is renewed, and nothing told meanwhile is lost."""

import pytest
from temporalio.client import WorkflowContinuedAsNewError

from tests.workflows.conftest import Rig, folded

PATH = [1, 0, 1, 2, 1, 0, -1, 0, 1, 2, 3, 2, 3, 4]


async def _run_id(rig: Rig) -> str:
    return (await rig.client.get_workflow_handle(rig.trade.id).describe()).run_id


async def _run_after_opening(rig: Rig) -> str:
    """An open trade first of all moves to its signer's queue, with a new run."""
    first = rig.client.get_workflow_handle(rig.trade.id, run_id=rig.trade.first_execution_run_id)
    with pytest.raises(WorkflowContinuedAsNewError):
        await first.result(follow_runs=False)
    return await _run_id(rig)


async def test_renewal_keeps_the_state_and_every_signal(rig: Rig) -> None:
    opened = await rig.open()
    anchor = opened.anchor_price
    assert anchor is not None
    told: list[int] = []
    run_at_open = await _run_after_opening(rig)
    while await _run_id(rig) == run_at_open:
        assert len(told) < 2_000
        for unit in PATH:
            await rig.market(anchor + 2 * unit)
            await rig.tell(anchor + 2 * unit)
        told += PATH
    last = anchor + 2 * told[-1]
    expected = folded(opened, told)
    status = await rig.until(
        lambda now: now.price == last and not now.order_in_flight and now.cycle == expected.cycle, within_s=60
    )
    units = (expected.phase, expected.current_unit, expected.peak_unit, expected.valley_unit)
    assert (status.phase, status.unit, status.peak, status.valley) == units
    assert status.ledger is not None
    assert status.ledger.net == await rig.net_position()
    await rig.trade.execute_update("close", {})
    await rig.trade.result()
    seqs = [line.entry.seq for line in await rig.journal.history(rig.trade.id)]
    assert seqs == list(range(1, len(seqs) + 1))
    orders = await rig.journal.orders(rig.trade.id)
    assert len(orders) == len(await rig.orders_accepted())


async def test_a_trade_whose_order_finds_nobody_is_renewed_all_the_same(rig: Rig) -> None:
    opened = await rig.open()
    anchor = opened.anchor_price
    assert anchor is not None
    run_at_open = await _run_after_opening(rig)
    await rig.control("depth", coin="ETH", levels=0)
    await rig.market(anchor - 2)
    await rig.tell(anchor - 2)
    await rig.until(lambda now: "could not immediately match" in now.last_orders[-1].status)
    told = 0
    while await _run_id(rig) == run_at_open:
        assert told < 3_000
        for _ in range(20):
            await rig.tell(anchor - 2)
        told += 20
    await rig.control("depth", coin="ETH", levels=20)
    status = await rig.until(lambda now: now.unit == -1 and not now.order_in_flight, within_s=60)
    assert status.ledger is not None
    assert status.ledger.net == await rig.net_position()
