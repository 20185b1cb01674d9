"""What may follow what. The step function is held to this table; the diagram in docs/strategy.md is drawn from it."""

from strategy.values import Direction, Phase, Value

RESET = "RESET"


class Transition(Value):
    source: Phase
    direction: Direction
    target: Phase | None
    """None: RESET, which begins a new cycle in ADVANCE."""
    when: str


def _row(source: Phase, direction: Direction, target: Phase | None, when: str) -> Transition:
    return Transition(source=source, direction=direction, target=target, when=when)


TRANSITIONS = (
    _row(Phase.ADVANCE, Direction.UP, Phase.ADVANCE, "new peak"),
    _row(Phase.ADVANCE, Direction.DOWN, Phase.RETRACEMENT, "first unit off the peak, step 1"),
    _row(Phase.ADVANCE, Direction.DOWN, Phase.DECLINE, "first unit off the peak, ladder of one step"),
    _row(Phase.RETRACEMENT, Direction.DOWN, Phase.RETRACEMENT, "next step"),
    _row(Phase.RETRACEMENT, Direction.DOWN, Phase.DECLINE, "last step, the long is sold"),
    _row(Phase.RETRACEMENT, Direction.UP, Phase.RETRACEMENT, "last step undone"),
    _row(Phase.RETRACEMENT, Direction.UP, Phase.ADVANCE, "all steps undone"),
    _row(Phase.RETRACEMENT, Direction.UP, None, "all steps undone, reset_on_full_reversal"),
    _row(Phase.DECLINE, Direction.DOWN, Phase.DECLINE, "valley follows"),
    _row(Phase.DECLINE, Direction.UP, Phase.DECLINE, "below cover_from"),
    _row(Phase.DECLINE, Direction.UP, Phase.RECOVERY, "valley + cover_from, first cover"),
    _row(Phase.DECLINE, Direction.UP, None, "valley + cover_from, ladder that sweeps there"),
    _row(Phase.RECOVERY, Direction.UP, Phase.RECOVERY, "next cover"),
    _row(Phase.RECOVERY, Direction.UP, None, "valley + sweep_at, 100% long"),
    _row(Phase.RECOVERY, Direction.DOWN, Phase.RECOVERY, "last step undone"),
    _row(Phase.RECOVERY, Direction.DOWN, Phase.DECLINE, "all steps undone"),
)

_ALLOWED = {(row.source, row.direction, row.target) for row in TRANSITIONS}


def check_transition(source: Phase, direction: Direction, target: Phase | None) -> None:
    """Assert that the table has this transition."""
    assert (source, direction, target) in _ALLOWED, f"no transition {source} -{direction}-> {target or RESET}"


def mermaid() -> str:
    """The table as a Mermaid state diagram. No colon inside a label: many renderers' Mermaid can't read one."""
    lines = ["stateDiagram-v2", "    [*] --> ADVANCE: opening fill"]
    lines += [f"    {row.source} --> {row.target or RESET}: {row.direction}, {row.when}" for row in TRANSITIONS]
    lines.append(f"    {RESET} --> ADVANCE: next cycle")
    return "\n".join(lines)
