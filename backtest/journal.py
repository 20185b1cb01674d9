"""The journal of a backtest: one JSON line per tick at which the unit changed. Decimals are strings, never floats."""

import hashlib
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import IO

from strategy.state import TradeState
from strategy.values import Leg, Tick


def as_text(number: Decimal) -> str:
    """All digits, no exponent, no trailing zeros: equal numbers have equal texts."""
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def journal_line(row: int, tick: Tick, state: TradeState, legs: Sequence[Leg], order_qty: Decimal) -> str:
    """The line of input row `row` (0-based), `state` being the one after the tick; without the newline.

    `legs` are those of all the tick's orders, in order; `order_qty` is their net in coin, buys positive.
    """
    ledger = state.ledger
    return json.dumps(
        {
            "i": row,
            "ts": tick.time_ms,
            "price": as_text(tick.price),
            "phase": state.phase.value,
            "unit": state.current_unit,
            "peak": state.peak_unit,
            "valley": state.valley_unit,
            "cycle": state.cycle,
            "legs": [[leg.action.value, as_text(leg.qty)] for leg in legs],
            "order_qty": as_text(order_qty),
            "long": as_text(ledger.long_qty),
            "short": as_text(ledger.short_qty),
            "short_entry": as_text(ledger.short_entry),
            "cash": as_text(ledger.cash),
            "allocation": as_text(state.allocation),
            "equity": as_text(state.equity(tick.price)),
        },
        separators=(",", ":"),
    )


class Journal:
    """Lines written as they come, with their hash: two runs that decided the same have the same `sha256`."""

    def __init__(self, file: IO[str] | None = None) -> None:
        """Without a file the lines are hashed only."""
        self._file = file
        self._hash = hashlib.sha256()
        self.lines = 0

    def append(self, line: str) -> None:
        self._hash.update(line.encode() + b"\n")
        self.lines += 1
        if self._file:
            self._file.write(line + "\n")

    @property
    def sha256(self) -> str:
        """Over all lines so far, newlines included: what `sha256sum` says of the file."""
        return self._hash.hexdigest()
