"""The bundled perpetual markets: universe, margin tables, price and size grids.

The shapes are the venue's; names, order and numbers are ours, so that nothing can rely on hard-coded asset ids
other than BTC 0 and ETH 1. An asset id is the index in the universe, delisted entries included.
"""

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from functools import cached_property
from typing import Any

from simulator.wire import number

MAX_PRICE_DECIMALS = 6
SIGNIFICANT_FIGURES = 5
DEFAULT_LEVERAGE = 20
SINGLE_TIER_TABLES = 50
"""Margin tables below this id have one tier, whose maximum leverage is the id."""


@dataclass(frozen=True, slots=True)
class Tier:
    """From `lower_bound_usd` of position notional on, at most `max_leverage`."""

    lower_bound_usd: Decimal
    max_leverage: int


@dataclass(frozen=True)
class Market:
    """One perpetual; `reference_price` is where it stands when no price source says otherwise."""

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

    @cached_property
    def lot(self) -> Decimal:
        return Decimal(1).scaleb(-self.size_decimals)

    @property
    def price_decimals(self) -> int:
        return MAX_PRICE_DECIMALS - self.size_decimals

    def tick(self, price: Decimal) -> Decimal:
        """Smallest price step at `price`: 5 significant figures, at most 6 - szDecimals decimals, integers always."""
        exponent = max(price.adjusted() - (SIGNIFICANT_FIGURES - 1), -self.price_decimals)
        return Decimal(1).scaleb(min(exponent, 0))

    def on_tick(self, price: Decimal) -> bool:
        return price % self.tick(price) == 0

    def on_lot(self, size: Decimal) -> bool:
        return size % self.lot == 0

    def round_price(self, price: Decimal, rounding: str = ROUND_HALF_EVEN) -> Decimal:
        return price.quantize(self.tick(price), rounding=rounding)

    def tick_below(self, price: Decimal) -> Decimal:
        """Largest price on the grid under `price`."""
        lower = self.round_price(price, ROUND_FLOOR)
        if lower < price:
            return lower
        return self.round_price(price - self.tick(price), ROUND_FLOOR)

    def tick_above(self, price: Decimal) -> Decimal:
        """Smallest price on the grid over `price`."""
        upper = self.round_price(price, ROUND_CEILING)
        if upper > price:
            return upper
        return self.round_price(price + self.tick(price), ROUND_CEILING)

    def round_size(self, size: Decimal) -> Decimal:
        """Down to a whole number of lots."""
        return size.quantize(self.lot, rounding=ROUND_FLOOR)

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


MARKETS: tuple[Market, ...] = (
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
)
BY_COIN = {market.coin: market for market in MARKETS}


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
