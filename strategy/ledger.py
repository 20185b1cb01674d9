"""The three parts of a trade: long, short and cash.

The exchange holds one net position per coin; the split into long and short is ours. Every leg leaves the book's value
unchanged at its own price, fees apart.
"""

from decimal import Decimal
from typing import assert_never

from pydantic import Field

from strategy.values import ZERO, Action, Execution, Leg, Value, money, plain

_TOLERANCE_USD = Decimal("1e-9")


class Ledger(Value):
    """Quantities in coin, cash in USD of notional. Cash may be negative within a cycle: whipsaw losses."""

    long_qty: Decimal = Field(default=ZERO, ge=0)
    short_qty: Decimal = Field(default=ZERO, ge=0)
    short_entry: Decimal = ZERO
    cash: Decimal = ZERO

    @property
    def net_qty(self) -> Decimal:
        """What the exchange holds."""
        return self.long_qty - self.short_qty

    def value(self, price: Decimal) -> Decimal:
        """Notional value of the book in USD."""
        return self.long_qty * price + self.short_qty * (2 * self.short_entry - price) + self.cash

    def moved(self, leg: Leg, price: Decimal) -> "Ledger":
        """The ledger after one leg filled at `price`."""
        qty = leg.qty
        match leg.action:
            case Action.SELL_LONG:
                change = {"long_qty": self.long_qty - qty, "cash": money(self.cash + qty * price)}
            case Action.BUY_LONG:
                change = {"long_qty": self.long_qty + qty, "cash": money(self.cash - qty * price)}
            case Action.OPEN_SHORT:
                short = self.short_qty + qty
                entry = (self.short_entry * self.short_qty + price * qty) / short if short else ZERO
                change = {"short_qty": short, "short_entry": entry, "cash": money(self.cash - qty * price)}
            case Action.COVER_SHORT:
                short = self.short_qty - qty
                change = {
                    "short_qty": short,
                    "short_entry": self.short_entry if short else ZERO,
                    "cash": money(self.cash + qty * (2 * self.short_entry - price)),
                }
            case _:  # pragma: no cover
                assert_never(leg.action)
        after = self.model_copy(update={name: plain(number) for name, number in change.items()})
        assert after.long_qty >= 0 and after.short_qty >= 0, f"{leg} takes more than {self} holds"
        assert abs(after.value(price) - self.value(price)) < _TOLERANCE_USD, f"{leg} at {price} changed {self}"
        return after

    def charged(self, fee_usd: Decimal) -> "Ledger":
        """The ledger after paying a fee or funding (negative: received)."""
        return self.model_copy(update={"cash": plain(self.cash - fee_usd)})


def legs_between(ledger: Ledger, long_qty: Decimal, short_qty: Decimal) -> tuple[Leg, ...]:
    """The legs that lead from what is held to what is wanted; closing legs first."""
    pairs = (
        (Action.SELL_LONG, ledger.long_qty - long_qty),
        (Action.COVER_SHORT, ledger.short_qty - short_qty),
        (Action.OPEN_SHORT, short_qty - ledger.short_qty),
        (Action.BUY_LONG, long_qty - ledger.long_qty),
    )
    return tuple(Leg(action=action, qty=qty) for action, qty in pairs if qty > 0)


def filled_legs(legs: tuple[Leg, ...], size: Decimal) -> tuple[Leg, ...]:
    """Share an order's fill among its legs.

    `legs` come closing first, as `legs_between` gives them; `size` is the signed fill. What is missing is taken from
    the legs on the order's own side, the opening ones first: a position is closed before a new one is opened. Legs of
    the other side were cancelled inside the order and count as filled.
    """
    wanted = sum((leg.signed_qty for leg in legs), ZERO)
    if abs(size) > abs(wanted) or size * wanted < 0:
        raise ValueError(f"a fill of {size} does not belong to an order of {wanted}")
    missing = abs(wanted - size)
    order_sign = 1 if wanted > 0 else -1
    filled: list[Leg] = []
    for leg in reversed(legs):
        taken = min(leg.qty, missing) if leg.action.sign == order_sign else ZERO
        missing -= taken
        if leg.qty > taken:
            filled.append(Leg(action=leg.action, qty=leg.qty - taken))
    return tuple(reversed(filled))


def settled(ledger: Ledger, legs: tuple[Leg, ...], execution: Execution) -> Ledger:
    """The ledger after an order of these legs was executed; all book at the order's average price."""
    for leg in filled_legs(legs, execution.size):
        ledger = ledger.moved(leg, execution.average_price)
    return ledger.charged(execution.fee_usd)


def strange_legs(ledger: Ledger, size: Decimal) -> tuple[Leg, ...]:
    """How `size` (signed) that was traded on the exchange without us moves our split: it closes before it opens."""
    closing, opening = (
        ((Action.COVER_SHORT, ledger.short_qty), Action.BUY_LONG)
        if size > 0
        else ((Action.SELL_LONG, ledger.long_qty), Action.OPEN_SHORT)
    )
    closed = min(closing[1], abs(size))
    pairs = ((closing[0], closed), (opening, abs(size) - closed))
    return tuple(Leg(action=action, qty=qty) for action, qty in pairs if qty)
