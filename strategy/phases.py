"""What may follow what. The steps are held to these tables; the diagrams in docs/strategy.md are drawn from them."""

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

FIBONACCI_TRANSITIONS = (
    _row(Phase.ADVANCE, Direction.UP, Phase.ADVANCE, "new high, or on the way to it"),
    _row(Phase.ADVANCE, Direction.DOWN, Phase.ADVANCE, "above the first level, or not armed"),
    _row(Phase.ADVANCE, Direction.DOWN, Phase.RETRACEMENT, "a level, long sold and short opened"),
    _row(Phase.ADVANCE, Direction.DOWN, Phase.RECOVERY, "a level without a short"),
    _row(Phase.ADVANCE, Direction.DOWN, Phase.DECLINE, "stop of the long, nothing is held"),
    _row(Phase.RETRACEMENT, Direction.DOWN, Phase.RETRACEMENT, "the next level"),
    _row(Phase.RETRACEMENT, Direction.UP, Phase.RETRACEMENT, "a level released"),
    _row(Phase.RETRACEMENT, Direction.UP, Phase.ADVANCE, "the first level released, or a new high"),
    _row(Phase.RETRACEMENT, Direction.UP, Phase.RECOVERY, "stop of the short"),
    _row(Phase.RETRACEMENT, Direction.UP, Phase.DECLINE, "stop of the short, nothing is held"),
    _row(Phase.RECOVERY, Direction.UP, Phase.RECOVERY, "a level released"),
    _row(Phase.RECOVERY, Direction.UP, Phase.ADVANCE, "the first level released, or a new high"),
    _row(Phase.RECOVERY, Direction.DOWN, Phase.RECOVERY, "the next level, without a short"),
    _row(Phase.RECOVERY, Direction.DOWN, Phase.RETRACEMENT, "the first level that opens a short"),
    _row(Phase.RECOVERY, Direction.DOWN, Phase.DECLINE, "the last level, or stop of the long"),
    _row(Phase.DECLINE, Direction.DOWN, Phase.DECLINE, "the low follows"),
    _row(Phase.DECLINE, Direction.UP, Phase.DECLINE, "below reentry_units"),
    _row(Phase.DECLINE, Direction.UP, None, "low + reentry_units, a new fractal"),
)


def check_transition(
    source: Phase, direction: Direction, target: Phase | None, table: tuple[Transition, ...] = TRANSITIONS
) -> None:
    """Assert that the table has this transition."""
    allowed = any((row.source, row.direction, row.target) == (source, direction, target) for row in table)
    assert allowed, f"no transition {source} -{direction}-> {target or RESET}"


def mermaid(table: tuple[Transition, ...] = TRANSITIONS) -> str:
    """The table as a Mermaid state diagram. No colon inside a label: many renderers' Mermaid can't read one."""
    lines = ["stateDiagram-v2", "    [*] --> ADVANCE: opening fill"]
    lines += [f"    {row.source} --> {row.target or RESET}: {row.direction}, {row.when}" for row in table]
    lines.append(f"    {RESET} --> ADVANCE: next cycle")
    return "\n".join(lines)
