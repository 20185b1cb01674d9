"""The spot side as far as clients ask for it while they load markets: listed, priced, not traded."""

from decimal import Decimal
from typing import Any

from simulator.wire import digest, number

_PRICE = Decimal("0.20925")


def _token(index: int, name: str, size_decimals: int, wei_decimals: int) -> dict[str, Any]:
    return {
        "name": name,
        "szDecimals": size_decimals,
        "weiDecimals": wei_decimals,
        "index": index,
        "tokenId": digest("token", name)[:34],
        "isCanonical": True,
        "evmContract": None,
        "fullName": None,
        "deployerTradingFeeShare": "0.0",
    }


def meta() -> dict[str, Any]:
    return {
        "universe": [{"tokens": [1, 0], "name": "PURR/USDC", "index": 0, "isCanonical": True}],
        "tokens": [_token(0, "USDC", 8, 8), _token(1, "PURR", 0, 5)],
    }


def contexts() -> list[dict[str, Any]]:
    return [
        {
            "prevDayPx": number(_PRICE),
            "dayNtlVlm": "0.0",
            "markPx": number(_PRICE),
            "midPx": number(_PRICE),
            "circulatingSupply": "600000000.0",
            "coin": "PURR/USDC",
            "totalSupply": "600000000.0",
            "dayBaseVlm": "0.0",
        }
    ]


def mids() -> dict[str, str]:
    return {"PURR/USDC": number(_PRICE)}
