"""From Hyperliquid's answers to the port's values. Pure; an answer of another shape is Unknown, never a default."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from exchange.errors import Unknown
from exchange.grid import wire
from exchange.port import (
    AddressBudget,
    Balance,
    Fill,
    FundingPayment,
    MarginTier,
    MarketRules,
    OpenOrder,
    OrderRecord,
    Position,
    PriceRange,
    Side,
)

MIN_NOTIONAL_USD = Decimal(10)
_PRICE_STEP = Decimal("0.000001")


@contextmanager
def shape_of(what: str) -> Iterator[None]:
    """Turns a missing key, a wrong type or an unreadable number into Unknown."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        raise Unknown(f"the exchange's {what} is not in the known shape: {type(error).__name__} {error}") from error


def market_rules(meta: Any, contexts: Any, fees: Any, coin: str) -> MarketRules:
    """From `metaAndAssetCtxs` and `userFees`. The caller knows that the coin is listed."""
    with shape_of("market data"):
        asset = [row["name"] for row in meta["universe"]].index(coin)
        row, context = meta["universe"][asset], contexts[asset]
        mark = Decimal(context["markPx"])
        mid = context["midPx"]
        return MarketRules(
            coin=coin,
            asset=asset,
            size_decimals=row["szDecimals"],
            max_leverage=row["maxLeverage"],
            min_notional_usd=MIN_NOTIONAL_USD,
            tiers=_tiers(meta, row),
            mark_price=mark,
            # An empty book has no middle; the mark is the exchange's own stand-in for it.
            mid_price=mark if mid is None else Decimal(mid),
            taker_fee_rate=Decimal(fees["userCrossRate"]),
            maker_fee_rate=Decimal(fees["userAddRate"]),
            only_isolated=only_isolated(row),
        )


def only_isolated(row: Mapping[str, Any]) -> bool:
    """Whether a market of the universe refuses cross margin."""
    return bool(row.get("onlyIsolated")) or row.get("marginMode") in ("strictIsolated", "noCross")


def _tiers(meta: Mapping[str, Any], row: Mapping[str, Any]) -> tuple[MarginTier, ...]:
    tables = dict(meta.get("marginTables", []))
    table = tables.get(row.get("marginTableId"))
    if table is None:
        # Numbers below 50 have no table: one tier at the market's maximum.
        return (MarginTier(lower_bound_usd=Decimal(0), max_leverage=row["maxLeverage"]),)
    return tuple(
        MarginTier(lower_bound_usd=Decimal(tier["lowerBound"]), max_leverage=tier["maxLeverage"])
        for tier in table["marginTiers"]
    )


def position(state: Any, coin: str) -> Position:
    """From `clearinghouseState`, which leaves out a coin that is flat."""
    held = (each for each in positions(state) if each.coin == coin)
    return next(held, Position(coin=coin, size=Decimal(0)))


def positions(state: Any) -> tuple[Position, ...]:
    """From `clearinghouseState`: those that are not flat."""
    with shape_of("clearinghouseState"):
        return tuple(_position(entry["position"]) for entry in state["assetPositions"])


def _position(row: Mapping[str, Any]) -> Position:
    size = Decimal(row["szi"])
    liquidation = row["liquidationPx"]
    return Position(
        coin=row["coin"],
        size=size,
        entry_price=Decimal(row["entryPx"]),
        mark_price=_mark(Decimal(row["positionValue"]), size),
        unrealized_pnl_usd=Decimal(row["unrealizedPnl"]),
        leverage=row["leverage"]["value"],
        margin_used_usd=Decimal(row["marginUsed"]),
        liquidation_price=None if liquidation is None else Decimal(liquidation),
    )


def _mark(value_usd: Decimal, size: Decimal) -> Decimal | None:
    """The value is size times mark, so the division gives back a price of at most six decimals."""
    return Decimal(wire((value_usd / abs(size)).quantize(_PRICE_STEP))) if size else None


def usd_balance(state: Any) -> Balance:
    """From `clearinghouseState`. Free is what a new cross position can use: isolated margin is not in it."""
    with shape_of("clearinghouseState"):
        whole, cross = state["marginSummary"], state["crossMarginSummary"]
        free = Decimal(cross["accountValue"]) - Decimal(cross["totalMarginUsed"])
        return Balance(
            currency="USDC",
            total=Decimal(whole["accountValue"]),
            used=Decimal(whole["totalMarginUsed"]),
            free=max(free, Decimal(0)),
        )


def fills(rows: Any, account: str, cloid: str | None = None) -> tuple[Fill, ...]:
    """From `userFills` or `userFillsByTime`, oldest first; the order of the answer is not documented. Of one order when
    `cloid` is given: those of a crowd of trades are many, and most of what reading them costs."""
    with shape_of("fills"):
        wanted = (row for row in rows if cloid is None or row.get("cloid") == cloid)
        return tuple(sorted((_fill(row, account) for row in wanted), key=lambda fill: (fill.time_ms, fill.tid)))


def last_ms(rows: Any) -> int:
    """When the newest of these fills was."""
    with shape_of("fills"):
        return max(int(row["time"]) for row in rows)


def _fill(row: Mapping[str, Any], account: str) -> Fill:
    size = Decimal(row["sz"])
    liquidation = row.get("liquidation")
    in_coin = row["side"] == "B" and row.get("feeToken", "USDC") != "USDC"
    return Fill(
        cloid=row.get("cloid"),
        oid=row["oid"],
        tid=row["tid"],
        coin=row["coin"],
        price=Decimal(row["px"]),
        size=size if _side(row["side"]) is Side.BUY else -size,
        # A builder's fee is in it already.
        fee_usd=Decimal(0) if in_coin else Decimal(row["fee"]),
        fee_size=Decimal(row["fee"]) if in_coin else None,
        time_ms=row["time"],
        closed_pnl_usd=Decimal(row["closedPnl"]),
        # The mark stands on the counterparty's fill too.
        liquidation=liquidation is not None and liquidation.get("liquidatedUser", "").lower() == account,
    )


def order_record(answer: Any) -> OrderRecord | None:
    """From `orderStatus`; None for `unknownOid`, which right after an order proves nothing."""
    with shape_of("orderStatus"):
        if answer["status"] == "unknownOid":
            return None
        if answer["status"] != "order":
            raise ValueError(f"status {answer['status']!r}")
        record = answer["order"]
        order = record["order"]
        return OrderRecord(
            oid=order["oid"],
            cloid=order.get("cloid"),
            coin=order["coin"],
            status=record["status"],
            original_size=Decimal(order["origSz"]),
            remaining_size=Decimal(order["sz"]),
            status_time_ms=record["statusTimestamp"],
        )


def open_orders(rows: Any) -> tuple[OpenOrder, ...]:
    """From `frontendOpenOrders`."""
    with shape_of("open orders"):
        return tuple(
            OpenOrder(
                coin=row["coin"],
                oid=row["oid"],
                cloid=row.get("cloid"),
                side=_side(row["side"]),
                size=Decimal(row["sz"]),
                limit_price=Decimal(row["limitPx"]),
                trigger_price=Decimal(row["triggerPx"]) if row["isTrigger"] else None,
                reduce_only=row["reduceOnly"],
            )
            for row in rows
        )


def funding(rows: Any) -> tuple[FundingPayment, ...]:
    """From `userFunding`, oldest first."""
    with shape_of("userFunding"):
        payments = [
            FundingPayment(
                coin=row["delta"]["coin"],
                usd=Decimal(row["delta"]["usdc"]),
                time_ms=row["time"],
                size=Decimal(row["delta"]["szi"]),
            )
            for row in rows
            if row["delta"]["type"] == "funding"
        ]
        return tuple(sorted(payments, key=lambda payment: payment.time_ms))


def address_budget(answer: Any) -> AddressBudget:
    """From `userRateLimit`."""
    with shape_of("userRateLimit"):
        return AddressBudget(
            used=answer["nRequestsUsed"], cap=answer["nRequestsCap"], volume_usd=Decimal(answer["cumVlm"])
        )


def price_range(rows: Any) -> PriceRange | None:
    """From `candleSnapshot`; None without a candle."""
    with shape_of("candleSnapshot"):
        if not rows:
            return None
        return PriceRange(low=min(Decimal(row["l"]) for row in rows), high=max(Decimal(row["h"]) for row in rows))


def _side(letter: str) -> Side:
    return {"B": Side.BUY, "A": Side.SELL}[letter]
