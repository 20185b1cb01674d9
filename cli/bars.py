"""Long, short and cash as one bar of a terminal."""

from collections.abc import Mapping
from decimal import Decimal

from rich.text import Text

LONG, SHORT, CASH = "green", "red", "blue"
SOLID = dict.fromkeys(("long", "short", "cash"), "█")


def parts_of(
    long_qty: Decimal, short_qty: Decimal, short_entry: Decimal, cash_usd: Decimal, price: Decimal
) -> dict[str, tuple[Decimal, str]]:
    """Name, value in USD at this price (never below 0) and colour."""
    values = {
        "long": (long_qty * price, LONG),
        "short": (short_qty * (2 * short_entry - price), SHORT),
        "cash": (cash_usd, CASH),
    }
    return {name: (max(Decimal(0), value), colour) for name, (value, colour) in values.items()}


def bar(parts: dict[str, tuple[Decimal, str]], width: int, glyphs: Mapping[str, str] = SOLID) -> Text:
    """As shares of the book; something is in it."""
    total = sum((value for value, _ in parts.values()), Decimal(0))
    text, left = Text(), width
    for name, (value, colour) in parts.items():
        cells = min(round(width * value / total), left)
        left -= cells
        text.append(glyphs[name] * cells, style=colour)
        if name == "cash" and left:
            text.append(glyphs["cash" if value else "long"] * left, style=colour if value else LONG)
    return text
