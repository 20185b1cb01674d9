"""The matrix is as large as it says, every cell can be found again, and a soak's plan follows from its seed."""

import pytest

from sweep.__main__ import chosen_cells
from sweep.boundaries import CANCELLING, PLACING
from sweep.cell import VICTIMS
from sweep.cells import all_cells
from sweep.emergencies import CLOSES, CLOSES_THE_REST, LOOKS, TAKES_OFF, TELLS
from sweep.faults import ORDER_FAULTS
from sweep.people import ANSWERS
from sweep.soak import ROUND_STEPS
from sweep.story import Deed, Ending
from sweep.trouble import PER_ROUND, WEIGHTS, plan

CELLS = all_cells()


def test_the_matrix_has_at_least_300_cells_with_names_of_their_own() -> None:
    assert len({cell.name for cell in CELLS}) == len(CELLS) >= 300


def test_in_every_cell_something_goes_wrong_at_a_step_that_exists() -> None:
    for cell in CELLS:
        assert cell.step in cell.story.steps, cell.name
        assert cell.blows or cell.faults or cell.streams or cell.outage or cell.held or cell.story.hand, cell.name


def test_every_answer_to_every_hand_is_tried_and_every_victim_is_away_under_one() -> None:
    hands = {(cell.story.hand.deed, cell.story.hand.answer) for cell in CELLS if cell.story.hand is not None}
    people = {(deed, answer) for deed in Deed if deed is not Deed.LIQUIDATED for answer in ANSWERS}
    assert people | {(Deed.LIQUIDATED, "close"), (Deed.LIQUIDATED, "release")} == hands
    for deed in Deed:
        away = {cell.held for cell in CELLS if cell.story.hand is not None and cell.story.hand.deed is deed}
        assert {*VICTIMS.values()} <= away, deed


def test_a_stop_meets_every_fault_of_an_order() -> None:
    faults = {cell.fault for cell in CELLS if cell.story.ending is Ending.STOP}
    assert {f"stop, {name}" for name in ORDER_FAULTS} <= faults


def test_a_backstop_is_struck_at_every_boundary_and_meets_every_fault_of_an_order_that_rests() -> None:
    guarded = [cell for cell in CELLS if cell.story.guarded]
    for victim in ("worker", "temporal"):
        struck = {cell.boundary for cell in guarded if cell.fault == f"stop: {victim}"}
        assert {*PLACING, *CANCELLING} <= struck
    assert {blow.victims for cell in guarded for blow in cell.blows} == {*VICTIMS.values()}
    faults = {cell.fault for cell in guarded if cell.boundary == "exchange.order"}
    assert {f"stop: {name}" for name in ORDER_FAULTS if name != "partial"} <= faults


def test_an_emergency_stop_is_struck_at_every_boundary_and_meets_every_fault_of_an_order() -> None:
    stopped = [cell for cell in CELLS if cell.story.ending is Ending.EMERGENCY]
    for victim in ("worker", "temporal"):
        kills = [cell for cell in stopped if [blow.victims for blow in cell.blows] == [VICTIMS[victim]]]
        assert {*TELLS, *LOOKS, *CLOSES, *TAKES_OFF} <= {cell.boundary for cell in kills if not cell.faults}
    assert {f"emergency, {name}" for name in ORDER_FAULTS} <= {cell.fault for cell in stopped}
    everything = [cell for cell in CELLS if cell.story.ending is Ending.EVERYTHING]
    assert {*CLOSES_THE_REST} <= {cell.boundary for cell in everything}
    assert {f"everything, {name}" for name in ORDER_FAULTS} <= {cell.fault for cell in everything}
    assert any(cell.story.ending is Ending.PORTFOLIO for cell in CELLS)


def test_a_cell_is_found_by_its_name() -> None:
    name = "worker@exchange.order.sent/RESET"
    assert [cell.name for cell in chosen_cells(CELLS, names=[name])] == [name]


def test_cells_are_chosen_by_all_of_the_conditions() -> None:
    found = chosen_cells(CELLS, only="fault=worker,boundary=exchange.*,step=RESET")
    assert found
    assert {(cell.fault, cell.step, cell.boundary.split(".")[0]) for cell in found} == {("worker", "RESET", "exchange")}


@pytest.mark.parametrize("only", ["fault", "victim=worker", "fault=nobody"])
def test_a_choice_that_fits_nothing_is_refused(only: str) -> None:
    with pytest.raises(ValueError, match=r"--only has|no cell"):
        chosen_cells(CELLS, only=only)


def test_the_same_seed_gives_the_same_plan_round_by_round() -> None:
    long, short = plan(7, 30, ROUND_STEPS), plan(7, 3, ROUND_STEPS)
    assert [str(trouble) for part in long[:3] for trouble in part] == [
        str(trouble) for part in short for trouble in part
    ]
    assert plan(8, 3, ROUND_STEPS) != short


def test_every_trouble_of_a_plan_comes_within_its_round() -> None:
    for troubles in plan(7, 100, ROUND_STEPS):
        assert len(troubles) == PER_ROUND
        assert all(0 < trouble.at_step <= ROUND_STEPS for trouble in troubles)


def test_a_long_soak_has_troubles_of_every_kind() -> None:
    assert {trouble.kind for troubles in plan(1, 50, ROUND_STEPS) for trouble in troubles} == set(WEIGHTS)
