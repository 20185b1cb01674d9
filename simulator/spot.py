"""The bundled spot side: tokens, pairs against USDC, and how their prices follow the perpetuals'.

Pairs have the numbers they have on the exchange, so `@107` is HYPE here as well; tokens are counted through, since
clients look them up by their place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from simulator.grid import Listing
from simulator.wire import digest

SPOT_ASSETS = 10_000
"""The asset id of a pair is this and its number."""


@dataclass(frozen=True, slots=True)
class Token:
    """`wei_decimals` is how finely balances and fees are counted."""

    name: str
    index: int
    size_decimals: int
    wei_decimals: int


@dataclass(frozen=True)
class Pair(Listing):
    """A token against USDC. `follows` names the perpetual whose price it has; without one it stands."""

    max_price_decimals: ClassVar[int] = 8
    coin: str
    asset: int
    size_decimals: int
    token: Token
    reference_price: Decimal
    follows: str | None = None
    delisted: bool = False

    @property
    def number(self) -> int:
        return self.asset - SPOT_ASSETS


USDC = Token("USDC", 0, 8, 8)
TOKENS = (
    USDC,
    Token("PURR", 1, 0, 5),
    Token("HYPE", 2, 2, 8),
    Token("UBTC", 3, 5, 8),
    Token("UETH", 4, 4, 8),
    Token("USOL", 5, 3, 8),
)


def _pair(number: int, token: Token, price: str, follows: str | None = None) -> Pair:
    name = f"@{number}" if number else f"{token.name}/USDC"
    return Pair(name, SPOT_ASSETS + number, token.size_decimals, token, Decimal(price), follows)


PAIRS = (
    _pair(0, TOKENS[1], "0.20925"),
    _pair(107, TOKENS[2], "31.407", "HYPE"),
    _pair(142, TOKENS[3], "84250", "BTC"),
    _pair(151, TOKENS[4], "3450", "ETH"),
    _pair(156, TOKENS[5], "142.35", "SOL"),
)
PAIR_OF = {pair.coin: pair for pair in PAIRS}
FOLLOWERS: Mapping[str, Pair] = {pair.follows: pair for pair in PAIRS if pair.follows}


def meta() -> dict[str, Any]:
    """The answer to `{"type":"spotMeta"}`."""
    return {"universe": [_pair_entry(pair) for pair in PAIRS], "tokens": [_token_entry(token) for token in TOKENS]}


def _pair_entry(pair: Pair) -> dict[str, Any]:
    tokens = [pair.token.index, USDC.index]
    return {"tokens": tokens, "name": pair.coin, "index": pair.number, "isCanonical": not pair.number}


def _token_entry(token: Token) -> dict[str, Any]:
    return {
        "name": token.name,
        "szDecimals": token.size_decimals,
        "weiDecimals": token.wei_decimals,
        "index": token.index,
        "tokenId": digest("token", token.name)[:34],
        "isCanonical": token.index <= 1,
        "evmContract": None,
        "fullName": None,
        "deployerTradingFeeShare": "0.0",
    }
