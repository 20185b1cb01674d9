"""Why a backtest did what it did, in words, from its journal alone."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from backtest.explain_hedge import NEW_FRACTAL, Rule, hedge_rule, is_of_a_hedge
from backtest.journal import as_text
from backtest.journal_lines import Line, Lines, base_line
from strategy.values import Action, Phase, exact

_QTY_SHOWN = Decimal("1e-8")


def moment(time_ms: int) -> str:
    """UTC, to the second."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


@exact
def explanation(journal: Sequence[Line], at: int, grid: Lines | None) -> str:
    """The decision with this index, in a few paragraphs."""
    now, before = journal[at], journal[at - 1] if at else None
    base = base_line(journal, now.cycle, grid) if grid else 0
    rule = hedge_rule if is_of_a_hedge(journal) else _rule
    return "\n".join(
        [*_headline(now, before), *_why(now, before, grid, base, rule), "", *_ledger(now, before), "", *_order(now)]
    )


def _headline(now: Line, before: Line | None) -> Iterator[str]:
    unit, phase = (before.unit, before.phase) if before else (0, Phase.ADVANCE)
    yield f"{moment(now.ts)} UTC, row {now.i}, price {now.price:f}"
    cycle = f", cycle {now.cycle}" if before is None or before.cycle == now.cycle else ""
    yield f"unit {unit} -> {now.unit}, {phase} -> {now.phase}, peak {now.peak}, valley {now.valley}{cycle}"
    yield ""


def _why(now: Line, before: Line | None, grid: Lines | None, base: int, rule: Rule) -> Iterator[str]:
    if before is not None and now.cycle != before.cycle:
        earned = now.allocation - before.allocation
        done = NEW_FRACTAL if rule is hedge_rule else f"The last step of cycle {now.cycle - 1} was done"
        yield (
            f"{done}, and the trade RESET: {earned:+.2f} USD went into the allocation, now {now.allocation:.2f} USD, "
            "and units count from here."
        )
        if now.moved(Action.COVER_SHORT):
            yield f"On the way to it the short was covered and its money bought long ({_legs(now)})."
        return
    unit, phase = (before.unit, before.phase) if before else (0, Phase.ADVANCE)
    if grid:
        yield _line_words(now, base + now.unit, grid, up=now.unit > unit)
    if abs(now.unit - unit) > 1:
        yield f"That one price completed {abs(now.unit - unit)} units; each was gone through in turn, as one order."
    if now.is_closed and now.legs:
        yield "A limit of the trade was broken: all that was held is closed, and the run ends."
        return
    yield rule(now, phase, up=now.unit > unit)


def _line_words(now: Line, line: int, grid: Lines, *, up: bool) -> str:
    side, unit = "at or above" if up else "at or below", "unit" if line == 1 else "units"
    return (
        f"The price stood {side} the line of unit {now.unit}, {grid.price_of(line):.8g} (the anchor "
        f"{grid.anchor_price:.8g} and {line} {unit} of {as_text(grid.unit_size)} USD). The next lines from there: "
        f"{grid.price_of(line + 1):.8g} up, {grid.price_of(line - 1):.8g} down."
    )


def _rule(now: Line, phase: Phase, *, up: bool) -> str:
    depth, height = now.peak - now.unit, now.unit - now.valley
    match phase, now.phase:
        case Phase.ADVANCE, Phase.ADVANCE:
            return "A new peak: nothing is traded, the position fragment is measured here anew."
        case Phase.ADVANCE | Phase.RETRACEMENT, Phase.RETRACEMENT if not up:
            trigger = " The first full unit off the peak is the whole trigger." if phase is Phase.ADVANCE else ""
            return f"That is {depth} below the peak of {now.peak}: step {depth} of the retracement.{trigger}"
        case Phase.RETRACEMENT, Phase.RETRACEMENT:
            return f"Back up to {depth} below the peak: the last step was undone, in coin."
        case Phase.RETRACEMENT, Phase.ADVANCE:
            return "Back at the peak with every step undone: 100% long again."
        case Phase.ADVANCE | Phase.RETRACEMENT, Phase.DECLINE:
            return (
                f"{depth} below the peak the ladder is at its end: the rest of the long is sold. "
                "From here the valley follows."
            )
        case Phase.DECLINE, Phase.DECLINE if not up:
            return "A new valley: nothing is traded in a DECLINE."
        case Phase.DECLINE, Phase.DECLINE:
            return f"{height} above the valley is not yet high enough to cover: nothing is traded."
        case Phase.DECLINE | Phase.RECOVERY, Phase.RECOVERY if up:
            return f"That is {height} above the valley of {now.valley}: short is covered, and what it frees buys long."
        case Phase.RECOVERY, Phase.RECOVERY:
            return f"Down to {height} above the valley: the last step was undone, in coin."
        case Phase.RECOVERY, Phase.DECLINE:
            return "Below the first cover again, with every step undone: back in the DECLINE, the valley stays."
        case _:
            return f"One price led from {phase} to {now.phase}, through every step between."


def _ledger(now: Line, before: Line | None) -> Iterator[str]:
    """After the decision before, and after this one; equity at this one's price both times."""
    was, is_now = _holdings(before) if before else _at_the_opening(now), _holdings(now)
    if before:
        was["equity"] = f"{before.equity - before.value(before.price) + before.value(now.price):.2f}"
    yield f"{'':12}{'before':>18}{'after':>18}"
    for name, figure in is_now.items():
        yield f"{name:12}{was.get(name, '-'):>18}{figure:>18}"


def _holdings(line: Line) -> dict[str, str]:
    quantities = {"long": line.long, "short": line.short, "net": line.long - line.short}
    money = {"cash": line.cash, "allocation": line.allocation, "equity": line.equity}
    return {name: _qty(qty) for name, qty in quantities.items()} | {name: f"{usd:.2f}" for name, usd in money.items()}


def _at_the_opening(first: Line) -> dict[str, str]:
    """Its fees are not in the journal, so neither cash nor equity is known to the cent."""
    opened = _qty(first.opened()) if first.cycle == 1 else "-"
    allocation = f"{first.allocation:.2f}" if first.cycle == 1 else "-"
    return {"long": opened, "short": "0", "net": opened, "allocation": allocation}


def _qty(qty: Decimal) -> str:
    return as_text(qty.quantize(_QTY_SHOWN))


def _order(now: Line) -> Iterator[str]:
    if not now.legs:
        yield "No order."
        return
    side = "buy" if now.order_qty > 0 else "sell"
    yield f"Legs: {_legs(now)}."
    if now.order_qty:
        yield f"On the exchange, where only the net exists: {side} {as_text(abs(now.order_qty))}."
    else:
        yield "They cancel each other: nothing was sent."


def _legs(now: Line) -> str:
    return ", ".join(f"{action.replace('_', ' ')} {as_text(qty)}" for action, qty in now.legs)
