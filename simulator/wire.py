"""How numbers, addresses and ids look on Hyperliquid's wire, in and out.

Every amount is a decimal string that always carries a point (`"3000.0"`); ids and times are integers.
"""

import hashlib
import re
from decimal import Decimal
from typing import Annotated, Any

import orjson
from pydantic import BeforeValidator, StringConstraints

MICRO_USD = Decimal("0.000001")
"""Smallest amount of money the venue books; price decimals + size decimals never exceed it."""

ZERO_HASH = "0x" + "0" * 64
MAX_DECIMALS = 8

_DECIMAL = re.compile(r"\d{1,30}(\.\d{1,30})?")


def number(value: Decimal) -> str:
    """`3000` -> `"3000.0"`, `1.50` -> `"1.5"`; never an exponent, never a negative zero."""
    if not value:
        return "0.0"
    text = f"{value:f}"
    if "." not in text:
        return text + ".0"
    text = text.rstrip("0")
    return text + "0" if text.endswith(".") else text


def stripped(value: Decimal) -> str:
    """The form that is signed: no trailing zeros, no trailing point (`1800`, `0.02`)."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def wire_decimal(value: object) -> Decimal:
    """Parse a price or size as sent: a string of digits with at most 8 decimals that are not trailing zeros.

    Raises ValueError for anything else: numbers, signs, exponents, more decimals.
    """
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        raise ValueError("expected a decimal string")
    _, _, fraction = value.partition(".")
    if len(fraction.rstrip("0")) > MAX_DECIMALS:
        raise ValueError("at most 8 decimals")
    return Decimal(value)


def lower_address(value: object) -> str:
    """`0x` and 40 hex digits, in any letter case; ccxt sends vault addresses without the 0x."""
    if not isinstance(value, str):
        raise ValueError("expected an address")
    text = value.lower().removeprefix("0x")
    if len(text) != 40 or not all(digit in "0123456789abcdef" for digit in text):
        raise ValueError("expected 0x and 40 hex digits")
    return "0x" + text


WireDecimal = Annotated[Decimal, BeforeValidator(wire_decimal)]
Address = Annotated[str, BeforeValidator(lower_address)]
Cloid = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{32}$", to_lower=True)]


def dumps(value: Any) -> bytes:
    return orjson.dumps(value)


def digest(*parts: object) -> str:
    """A transaction-hash-like `0x` + 64 hex, the same for the same parts."""
    return "0x" + hashlib.sha256("/".join(str(part) for part in parts).encode()).hexdigest()


def made_address(name: str) -> str:
    """A stable address for a party that has no key: market makers, sub-accounts."""
    return "0x" + hashlib.sha256(name.encode()).hexdigest()[:40]
