"""The spot side of an account: what is free of its tokens, and what a trade does to them."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from simulator.records import ZERO, Account, Holding, Order
from simulator.spot import PAIR_OF, Token
from simulator.wire import MAX_DECIMALS


@dataclass(frozen=True, slots=True)
class Booking:
    """What a trade changed in an account, as its fill tells it. `fee_size` is a fee in coin, `fee_usd` is 0 then."""

    start_position: Decimal
    direction: str
    closed_pnl_usd: Decimal
    fee_usd: Decimal
    builder_fee_usd: Decimal = ZERO
    fee_size: Decimal | None = None


def owned(account: Account, token: Token) -> Decimal:
    holding = account.holdings.get(token.name)
    return holding.size if holding else ZERO


def held_usd(orders: Iterable[Order]) -> Decimal:
    """USDC that resting buys hold back, at their limits."""
    return sum((order.remaining * order.limit_price for order in orders if order.is_spot and order.is_buy), ZERO)


def held_size(orders: Iterable[Order], coin: str) -> Decimal:
    """What resting sells of a pair hold back, in coin."""
    return sum((order.remaining for order in orders if order.coin == coin and not order.is_buy), ZERO)


def book(account: Account, order: Order, size: Decimal, price: Decimal, rate: Decimal, builder: Decimal) -> Booking:
    """Trade `size` of a spot order: a buyer pays the fee in what is bought, a seller in USDC, each truncated.

    `rate` and `builder` are shares of notional; only sellers pay a builder.
    """
    token, notional = PAIR_OF[order.coin].token, size * price
    start = owned(account, token)
    holding = account.holdings.setdefault(token.name, Holding())
    if order.is_buy:
        fee_size = _truncated(size * rate, token)
        holding.add(size - fee_size, notional)
        account.spot_usd -= notional
        return Booking(start, "Buy", ZERO, ZERO, fee_size=fee_size)
    fee = _truncated(notional * (rate + builder), None)
    profit = notional - holding.reduce(size)
    account.spot_usd += notional - fee
    if not holding.size:
        del account.holdings[token.name]
    return Booking(start, "Sell", profit, fee, _truncated(notional * builder, None))


def _truncated(amount: Decimal, token: Token | None) -> Decimal:
    decimals = MAX_DECIMALS if token is None else min(token.wei_decimals, MAX_DECIMALS)
    return amount.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_DOWN)
