"""The bundled perpetual markets: universe and margin tables.

The shapes are the venue's; names, order and numbers are ours, so that nothing can rely on hard-coded asset ids
other than BTC 0 and ETH 1. An asset id is the index in the universe, delisted entries included.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from simulator.grid import Listing
from simulator.wire import number

DEFAULT_LEVERAGE = 20
SINGLE_TIER_TABLES = 50
"""Margin tables below this id have one tier, whose maximum leverage is the id."""


@dataclass(frozen=True, slots=True)
class Tier:
    """From `lower_bound_usd` of position notional on, at most `max_leverage`."""

    lower_bound_usd: Decimal
    max_leverage: int


@dataclass(frozen=True)
class Market(Listing):
    """One perpetual."""

    max_price_decimals: ClassVar[int] = 6
    coin: str
    asset: int
    size_decimals: int
    margin_table: int
    tiers: tuple[Tier, ...]
    reference_price: Decimal
    only_isolated: bool = False
    delisted: bool = False

    @property
    def max_leverage(self) -> int:
        return self.tiers[0].max_leverage

    @property
    def default_leverage(self) -> int:
        return min(DEFAULT_LEVERAGE, self.max_leverage)

    def tier(self, notional_usd: Decimal) -> Tier:
        return [tier for tier in self.tiers if tier.lower_bound_usd <= notional_usd][-1]

    def maintenance_rate(self, notional_usd: Decimal) -> Decimal:
        """Half the initial margin at the tier's maximum leverage, as a share of notional."""
        return Decimal(1) / (2 * self.tier(notional_usd).max_leverage)

    def maintenance_usd(self, notional_usd: Decimal) -> Decimal:
        """Maintenance margin of a position: marginal rates by tier, so it has no jumps at the bounds."""
        total = Decimal(0)
        bounds = [*(tier.lower_bound_usd for tier in self.tiers[1:]), notional_usd]
        for tier, upper in zip(self.tiers, bounds, strict=True):
            part = min(notional_usd, upper) - tier.lower_bound_usd
            if part > 0:
                total += part / (2 * tier.max_leverage)
        return total


def _tables() -> dict[int, tuple[Tier, ...]]:
    tiered = {
        51: ((0, 10), (4_000_000, 5)),
        52: ((0, 10), (25_000_000, 5)),
        54: ((0, 20), (80_000_000, 10)),
        55: ((0, 25), (120_000_000, 15)),
        56: ((0, 40), (160_000_000, 20)),
    }
    return {key: tuple(Tier(Decimal(bound), lev) for bound, lev in tiers) for key, tiers in tiered.items()}


TABLES = _tables()


def _market(asset: int, coin: str, size_decimals: int, table: int, price: str, **flags: bool) -> Market:
    tiers = TABLES.get(table) or (Tier(Decimal(0), table),)
    return Market(coin, asset, size_decimals, table, tiers, Decimal(price), **flags)


MARKETS: list[Market] = [
    _market(0, "BTC", 5, 56, "84250"),
    _market(1, "ETH", 4, 55, "3450"),
    _market(2, "SOL", 2, 54, "142.35"),
    _market(3, "LUNA", 1, 5, "0.5", delisted=True),
    _market(4, "DOGE", 0, 52, "0.18652"),
    _market(5, "HYPE", 2, 52, "31.407"),
    _market(6, "XRP", 0, 54, "2.1043"),
    _market(7, "AVAX", 2, 52, "24.612"),
    _market(8, "ARB", 1, 51, "0.31245"),
    _market(9, "kPEPE", 0, 51, "0.009876"),
    _market(10, "TST", 0, 3, "0.042", only_isolated=True),
    _market(11, "LTC", 2, 52, "92.145"),
    _market(12, "LINK", 1, 52, "17.284"),
    _market(13, "BNB", 3, 52, "884.52"),
    _market(14, "SUI", 1, 52, "3.4127"),
    _market(15, "AAVE", 2, 52, "271.36"),
    _market(16, "NEAR", 1, 52, "2.6518"),
    _market(17, "APT", 2, 52, "4.8235"),
    _market(18, "OP", 1, 51, "0.71238"),
    _market(19, "INJ", 1, 51, "13.427"),
    _market(20, "TIA", 1, 51, "1.7231"),
    _market(21, "SEI", 0, 51, "0.29174"),
]
"""The place in it is the asset id. `listings.list_more` adds to it."""
BY_COIN = {market.coin: market for market in MARKETS}


def made_up(asset: int) -> Market:
    """For when more coins are needed than are bundled."""
    return _market(asset, f"COIN{asset}", 2, 51, str(10 + asset))


def meta() -> dict[str, Any]:
    """The answer to `{"type":"meta"}`."""
    return {
        "universe": [_universe_entry(market) for market in MARKETS],
        "marginTables": [[key, _table(tiers)] for key, tiers in TABLES.items()],
        "collateralToken": 0,
    }


def _universe_entry(market: Market) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "szDecimals": market.size_decimals,
        "name": market.coin,
        "maxLeverage": market.max_leverage,
        "marginTableId": market.margin_table,
    }
    if market.only_isolated:
        entry |= {"onlyIsolated": True, "marginMode": "strictIsolated"}
    if market.delisted:
        entry["isDelisted"] = True
    return entry


def _table(tiers: tuple[Tier, ...]) -> dict[str, Any]:
    return {
        "description": f"tiered {tiers[0].max_leverage}x",
        "marginTiers": [{"lowerBound": number(t.lower_bound_usd), "maxLeverage": t.max_leverage} for t in tiers],
    }
