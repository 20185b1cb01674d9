"""A stranger's hand: what somebody else with the key does to a trade's position, as `sweep.story.Deed` names it."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from decimal import Decimal

from exchange.errors import RejectReason
from exchange.gateway import HyperliquidGateway
from exchange.grid import round_price
from exchange.market_orders import EXPIRY_MS
from exchange.nonces import wall_ms
from exchange.port import Intent, OrderOutcome, OutcomeStatus, Side
from simulator.markets import BY_COIN
from sweep.judged import Touch
from sweep.rig import Rig
from sweep.story import ELSEWHERE, Deed

TRIES_MAX = 30
FEW_USD = Decimal(100)
"""Opened where nothing is held."""
LEAST_USD = Decimal(20)
"""The exchange takes no order of less than half of it."""


class NotDone(Exception):
    """The hand did not do what it was told: the cell proves nothing."""


async def touch(rig: Rig, coin: str, deed: Deed) -> Touch:
    """Have it done; it is over when this returns. `to_ms` is still open. Not for a liquidation."""
    held = await rig.net_size(coin)
    async with rig.by_hand() as gateway:
        match deed:
            case Deed.LEVERAGE:
                from_ms = await rig.exchange_ms()
                await gateway.set_leverage(coin, await gateway.leverage(coin) - 1, nonce=gateway.draw_nonce())
                return Touch(frozenset(), from_ms)
            case Deed.HALF_CLOSED if held:
                # Of next to nothing no half can be ordered: then it is turned over.
                size = max(abs(held) / 2, await _worth(gateway, coin, LEAST_USD))
                outcome = await _ordered(gateway, coin, "sell" if held > 0 else "buy", size)
            case Deed.HALF_CLOSED | Deed.BIT_OPENED:
                size = max(abs(held) / 10, await _worth(gateway, coin, FEW_USD))
                outcome = await _ordered(gateway, coin, "buy", size)
            case Deed.LIQUIDATED:
                raise ValueError("a liquidation is the exchange's doing: see `liquidated`")
    return _of(outcome)


async def liquidated(rig: Rig, coin: str, price: Decimal) -> Touch:
    """Somebody takes the account's money away, and the price moves to where the exchange liquidates the position."""
    held, from_ms = await rig.net_size(coin), await rig.exchange_ms()
    state = await rig.account_state()
    value_usd = Decimal(state["marginSummary"]["accountValue"])
    loss_usd = held * (Decimal((await rig.exchange.state())["coins"][coin]["mid"]) - price)
    taken_usd = value_usd - Decimal(state["crossMaintenanceMarginUsed"]) - loss_usd / 2
    await rig.exchange.fund(rig.account, -taken_usd)
    await rig.exchange.set_price(coin, price)
    if left := await rig.net_size(coin):
        raise NotDone(f"{left} {coin} is left of {held}: the exchange did not liquidate")
    await rig.exchange.fund(rig.account, taken_usd)
    return Touch(frozenset(), from_ms)


async def held_elsewhere(rig: Rig) -> None:
    """Somebody opens a position in a coin without a trade, and has a stop rest for it that never fires."""
    async with rig.by_hand() as gateway:
        _of(await _ordered(gateway, ELSEWHERE, "buy", await _worth(gateway, ELSEWHERE, FEW_USD)))
        stop = await _until_taken(lambda: _stopped_at_half(gateway))
    if stop.status is not OutcomeStatus.RESTING:
        raise NotDone(f"the hand's stop does not rest: {stop.status} {stop.text}")


async def _stopped_at_half(gateway: HyperliquidGateway) -> OrderOutcome:
    rules, held = await gateway.market_rules(ELSEWHERE), await gateway.get_position(ELSEWHERE)
    trigger_price = round_price(rules.mid_price / 2, rules.size_decimals, Side.SELL)
    return await gateway.execute(
        Intent(
            cloid=f"0x{secrets.token_hex(16)}",
            account=gateway.account,
            signer=gateway.signer,
            nonce=gateway.draw_nonce(),
            coin=rules.coin,
            asset=rules.asset,
            side=Side.SELL,
            size=held.size,
            limit_price=trigger_price,
            reduce_only=True,
            expires_after_ms=wall_ms() + EXPIRY_MS,
            trigger_price=trigger_price,
        )
    )


async def _ordered(gateway: HyperliquidGateway, coin: str, side: str, size: Decimal) -> OrderOutcome:
    return await _until_taken(lambda: gateway.place_market_order(coin, side, size))


async def _until_taken(send: Callable[[], Awaitable[OrderOutcome]]) -> OrderOutcome:
    """A worker that was started again draws nonces a moment ahead of the clock: then ours are too low for a while."""
    for _ in range(TRIES_MAX):
        outcome = await send()
        if outcome.reason is not RejectReason.NONCE:
            break
        await asyncio.sleep(1)
    return outcome


async def _worth(gateway: HyperliquidGateway, coin: str, usd: Decimal) -> Decimal:
    price = (await gateway.market_rules(coin)).mid_price
    return max(BY_COIN[coin].lot, usd / price)


def _of(outcome: OrderOutcome) -> Touch:
    if not outcome.fills:
        raise NotDone(f"the hand's order was not filled: {outcome.status} {outcome.text}")
    return Touch(frozenset(fill.oid for fill in outcome.fills), min(fill.time_ms for fill in outcome.fills))
