"""Orders by hand: the terms of an intent from a size and today's market, then the one path every order takes."""

import secrets
from decimal import Decimal, InvalidOperation
from typing import Protocol

from exchange.errors import Rejected
from exchange.grid import limit_price, round_size_down
from exchange.nonces import wall_ms
from exchange.port import Intent, MarketRules, OrderOutcome, Position, Side

EXPIRY_MS = 5_000

Number = Decimal | int | float | str
"""A float counts as the decimal it is printed as."""


class Desk(Protocol):
    """What an order by hand needs of the gateway."""

    account: str
    signer: str

    def draw_nonce(self) -> int: ...
    async def market_rules(self, coin: str) -> MarketRules: ...
    async def get_position(self, coin: str) -> Position: ...
    async def execute(self, intent: Intent) -> OrderOutcome: ...


class MarketOrders:
    def __init__(self, desk: Desk, slippage_bps: int) -> None:
        self._desk = desk
        self._slippage_bps = Decimal(slippage_bps)

    async def place(self, coin: str, side: Side | str, size: Number, *, reduce_only: bool) -> OrderOutcome:
        """Raises Rejected, before anything is sent, for a size below one lot or below the exchange's minimum."""
        side = _side(side)
        rules = await self._desk.market_rules(coin)
        asked = _decimal(size)
        lots = round_size_down(asked, rules.size_decimals)
        if lots <= 0:
            raise Rejected(f"size is {asked} {rules.coin}: {rules.lot} or more is allowed")
        intent = self._intent(rules, side, lots, reduce_only=reduce_only)
        notional_usd = lots * intent.limit_price
        # An order that closes the whole position may be smaller; whether this one does is the exchange's to say.
        if notional_usd < rules.min_notional_usd and not reduce_only:
            raise Rejected(
                f"size is {lots} {rules.coin}, worth ${notional_usd:.2f}:"
                f" the exchange takes ${rules.min_notional_usd} or more"
            )
        return await self._desk.execute(intent)

    async def close_position(self, coin: str) -> OrderOutcome | None:
        position = await self._desk.get_position(coin)
        if not position.size:
            return None
        side = Side.SELL if position.size > 0 else Side.BUY
        return await self.place(position.coin, side, abs(position.size), reduce_only=True)

    def _intent(self, rules: MarketRules, side: Side, size: Decimal, *, reduce_only: bool) -> Intent:
        return Intent(
            cloid=f"0x{secrets.token_hex(16)}",
            account=self._desk.account,
            signer=self._desk.signer,
            nonce=self._desk.draw_nonce(),
            coin=rules.coin,
            asset=rules.asset,
            side=side,
            size=size,
            limit_price=limit_price(rules.mid_price, side, self._slippage_bps, rules.size_decimals),
            reduce_only=reduce_only,
            expires_after_ms=wall_ms() + EXPIRY_MS,
        )


def _side(side: Side | str) -> Side:
    try:
        return Side(side)
    except ValueError:
        raise Rejected(f"side is {side!r}: {Side.BUY} or {Side.SELL} is allowed") from None


def _decimal(size: Number) -> Decimal:
    try:
        number = Decimal(str(size))
    except InvalidOperation:
        raise Rejected(f"size is {size!r}: a number of coins is allowed") from None
    if not number.is_finite():
        raise Rejected(f"size is {size!r}: a number of coins is allowed")
    return number
