"""What an account holds, read without a key; and the end of it, for which there must be one."""

import asyncio
import contextlib
import time
from collections import Counter
from typing import TYPE_CHECKING

from cli.common import make_state_dir
from cli.errors import CommandFailed
from cli.venue import Holdings, Venue
from exchange.errors import ExchangeError, Rejected
from exchange.port import OutcomeStatus
from exchange.signing import PrivateKey
from settings import Settings
from workflows.desk import WORTH_A_NEW_INTENT

if TYPE_CHECKING:
    from exchange.gateway import HyperliquidGateway

ASKS_EVERY_S = 0.5
REFUSALS_MAX = 3
"""For one coin: what the exchange shows may lag behind what it has done, so the first does not count."""


async def holdings(venue: Venue, account: str, deadline_s: float) -> Holdings:
    """Asked once at least. Raises CommandFailed when the exchange has not answered until the deadline."""
    while True:
        try:
            return await venue.holdings(account)
        except CommandFailed:
            if time.monotonic() >= deadline_s:
                raise
        await asyncio.sleep(ASKS_EVERY_S)


async def close_leftovers(
    settings: Settings, key: PrivateKey, venue: Venue, account: str, deadline_s: float
) -> dict[str, str]:
    """Cancel and close, reduce-only at the market, until the exchange shows nothing, refuses it for good, or the
    deadline has passed. Returns why, by coin, for what is left. Raises SetupRefused, and CommandFailed when the
    exchange does not answer."""
    # ccxt takes seconds to load: only for those who need it, and after all trades were told.
    from exchange.gateway import HyperliquidGateway

    with contextlib.suppress(OSError):
        # Nonces are drawn there. Where that can't be, it is said of each coin.
        make_state_dir(settings)
    gateway = HyperliquidGateway.connect(
        settings.model_copy(update={"account": account}), key=key, governor=venue.governor
    )
    why: dict[str, str] = {}
    refusals: Counter[str] = Counter()
    try:
        while True:
            held = await holdings(venue, account, deadline_s)
            why = {coin: text for coin, text in why.items() if coin in held.coins}
            worth_a_try = [coin for coin in held.coins if refusals[coin] < REFUSALS_MAX]
            for coin in worth_a_try:
                await _close(gateway, held, coin, why, refusals)
            if not worth_a_try or time.monotonic() >= deadline_s:
                return why
            await asyncio.sleep(ASKS_EVERY_S)
    finally:
        await gateway.close()


async def _close(
    gateway: "HyperliquidGateway", held: Holdings, coin: str, why: dict[str, str], refusals: Counter[str]
) -> None:
    """One try. What may have happened all the same is seen at the next look: reduce-only does no harm twice."""
    try:
        if resting := [order for order in held.resting if order.coin == coin]:
            await gateway.cancel_orders(resting)
        outcome = await gateway.close_position(coin)
    except (ExchangeError, OSError) as error:
        why[coin] = str(error)
        refusals[coin] += isinstance(error, Rejected)
        return
    if outcome is None or outcome.status is OutcomeStatus.FILLED:
        why.pop(coin, None)
        return
    why[coin] = f"the order was {outcome.status.value.replace('_', ' ')}: {outcome.text or 'no reason given'}"
    refusals[coin] += outcome.status is OutcomeStatus.REJECTED and outcome.reason not in WORTH_A_NEW_INTENT
