import re
from decimal import Decimal

import pytest

from docs.diagram import PAGE, with_diagrams
from strategy.fibonacci import FIBONACCI
from strategy.ladder import PRESETS, Ladder
from strategy.phases import FIBONACCI_TRANSITIONS, RESET, TRANSITIONS, Transition, check_transition, mermaid
from strategy.values import Direction, Phase, plain
from tests.strategy.trading import Trader, open_trade

TEXT = PAGE.read_text(encoding="utf-8")


def test_the_diagrams_in_the_docs_are_the_tables() -> None:
    assert with_diagrams(TEXT) == TEXT, "run: python -m docs.diagram"


@pytest.mark.parametrize("table", [TRANSITIONS, FIBONACCI_TRANSITIONS])
def test_a_diagram_has_every_transition_and_no_label_its_renderers_cannot_read(table: tuple[Transition, ...]) -> None:
    lines = mermaid(table).splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert len(lines) == len(table) + 3
    for row in table:
        assert any(f"{row.source} --> {row.target or RESET}: " in line and row.when in line for line in lines)
    assert all(line.count(":") == 1 and ";" not in line for line in lines[1:])


def test_what_is_not_in_the_table_cannot_happen() -> None:
    with pytest.raises(AssertionError, match="no transition DECLINE -down-> ADVANCE"):
        check_transition(Phase.DECLINE, Direction.DOWN, Phase.ADVANCE)
    with pytest.raises(AssertionError, match="no transition ADVANCE -up-> RESET"):
        check_transition(Phase.ADVANCE, Direction.UP, None)


@pytest.mark.parametrize("name", PRESETS)
def test_the_presets_in_the_docs_are_the_presets(name: str) -> None:
    """Each row of the page's table of parameters, against the model."""
    column = 1 + list(PRESETS).index(name)
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if line.startswith("| `")
    ]
    said = {row[0].strip("`"): row[column] for row in rows}
    ladder = PRESETS[name]
    fields = set(Ladder.model_fields) - {"name", "retracement"}
    assert fields <= set(said)
    for field in fields:
        value = getattr(ladder, field)
        expected = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
        assert said[field] == expected or Decimal(said[field]) == Decimal(expected)
    steps = re.findall(r"\(([\w.]+), ([\w.]+)\)", said["retracement"])
    assert [(str(step.sell_long), str(step.open_short)) for step in ladder.retracement] == steps


def rows_below(heading: str) -> list[list[str]]:
    """Of the first table after a heading, without its head."""
    lines = TEXT.split(f"{heading}\n")[1].splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("| ---")) + 1
    last = next(number for number, line in enumerate(lines) if number > first and not line.startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[first:last]]


def test_the_levels_in_the_docs_are_the_preset() -> None:
    told = [row[:3] for row in rows_below("## The Fibonacci hedge")[1:]]
    assert told == [
        [f"{100 * share:.0f}%" for share in (level.at, level.long, level.short)] for level in FIBONACCI.levels
    ]
    said = {line.split("`")[1]: line.split("|")[2].strip() for line in TEXT.splitlines() if line.startswith("| `")}
    for field in set(type(FIBONACCI).model_fields) - {"name", "levels"}:
        value = getattr(FIBONACCI, field)
        assert said[field] == ("none" if value is None else f"{value}")


def test_the_example_of_the_hedge_is_what_it_does() -> None:
    trader = Trader(open_trade(FIBONACCI, price="100", unit="0.5", margin="10000", leverage=1, lot=Decimal("0.01")))
    for price, _, phase, order, long, short, cash, equity in rows_below("### Its example"):
        done = len(trader.orders)
        while (line := trader.state.grid.line_price(trader.state.line)) != Decimal(price):
            trader.prices(line + Decimal("0.5") * (1 if Decimal(price) > line else -1))
        state, ledger = trader.state, trader.state.ledger
        entry = f" ({plain(ledger.short_entry):f})" if ledger.short_qty else ""
        assert (phase, long, short) == (
            state.phase,
            f"{plain(ledger.long_qty):f}",
            f"{plain(ledger.short_qty):f}{entry}",
        )
        assert (cash, equity) == (f"{plain(ledger.cash):f}", f"{plain(state.equity(Decimal(price))):f}")
        assert order == "".join(f"{plain(each.size):+f}" for each in trader.orders[done:])


def test_the_losses_beyond_the_plan_are_those_of_the_page() -> None:
    free = FIBONACCI.model_copy(update={"short_trailing_stop": None})
    gap, whipsaw = (
        Trader(open_trade(free, price="100", unit="0.5", margin="10000", leverage=1, lot=Decimal("0.01")))
        for _ in range(2)
    )
    assert gap.prices("120", "110").losses.gap_usd == 550
    lines = [120 - Decimal(n) / 2 for n in range(21)] + [110 + Decimal(n) / 2 for n in range(1, 14)]
    assert whipsaw.prices(*lines).losses.whipsaw_usd == Decimal("212.5")
    assert "550 USD" in TEXT and "212.50 USD" in TEXT
