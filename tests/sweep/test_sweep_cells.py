"""A part of the matrix: real processes, killed and paused at boundaries, an exchange that fails, and a hand on it."""

from dataclasses import replace
from pathlib import Path

import pytest

from sweep.__main__ import sweep
from sweep.cells import all_cells
from sweep.conductor import Blow

PART = (
    "feed@signal.units_moved.sent/retracement",
    "worker@exchange.order.accepted/DECLINE",
    "temporal@exchange.order.accepted/RESET",
    "reply_lost,_worker@exchange.noop.accepted/retracement",
    "worker_twice@exchange.order.answered/DECLINE",
    "one_of_two_workers@exchange.order.accepted/DECLINE",
    "partial@exchange.order/DECLINE",
    "emergency,_drop_reply@exchange.order/close",
    "half_closed,_price_waits,_rehedge@worker_away/hand",
    "liquidated,_close@worker_away/hand",
    "stop:_worker@exchange.cancelByCloid.accepted/low",
    "close,_rejected@exchange.order.signed/close",
)
JOBS = 2


@pytest.mark.timeout(400)
@pytest.mark.drill
async def test_a_part_of_the_matrix_ends_as_if_nothing_had_gone_wrong(tmp_path: Path) -> None:
    by_name = {cell.name: cell for cell in all_cells()}
    # Last, as its stack is given up after it: a cell in which nothing happens is no proof, and said to be none.
    idle = replace(by_name[PART[0]], fault="nothing", blows=(Blow("no.such.boundary"),))
    results = await sweep([*(by_name[name] for name in PART), idle], jobs=JOBS, folder=tmp_path)
    wrong = {result.cell.name: {violation.rule for violation in result.violations} for result in results}
    assert {name: rules for name, rules in wrong.items() if rules} == {idle.name: {"not reached"}}
    assert len(results) == len(PART) + 1
