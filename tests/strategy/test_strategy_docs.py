import re
from decimal import Decimal

import pytest

from docs.diagram import PAGE, with_diagram
from strategy.ladder import PRESETS, Ladder
from strategy.phases import RESET, TRANSITIONS, check_transition, mermaid
from strategy.values import Direction, Phase

TEXT = PAGE.read_text(encoding="utf-8")


def test_the_diagram_in_the_docs_is_the_table() -> None:
    assert with_diagram(TEXT) == TEXT, "run: python -m docs.diagram"


def test_the_diagram_has_every_transition_and_no_label_its_renderers_cannot_read() -> None:
    lines = mermaid().splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert len(lines) == len(TRANSITIONS) + 3
    for row in TRANSITIONS:
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
