"""Hyperliquid behind the port: one account, one signing key, every answer in the port's own words."""

import asyncio
import difflib
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

from exchange import account, shapes
from exchange.actions import NOOP, cancel_action, cancel_by_cloid_action, leverage_action, order_action
from exchange.cancelling import cancel
from exchange.errors import NotSent, Rejected
from exchange.execution import execute
from exchange.governor import Governor
from exchange.market_orders import MarketOrders, Number
from exchange.network import endpoint
from exchange.nonces import NonceSource, wall_ms
from exchange.port import (
    AccountFacts,
    AccountValue,
    AddressBudget,
    Balance,
    CancelOutcome,
    Fill,
    Intent,
    MarketRules,
    OpenOrder,
    OrderOutcome,
    OrderRecord,
    Position,
    PriceRange,
    Side,
)
from exchange.roles import vault_address
from exchange.signing import PrivateKey
from exchange.sorting import (
    Declined,
    Filled,
    NonceTooLow,
    NonceUsed,
    Removed,
    Resting,
    check_action_reply,
    check_performed,
    sort_cancel_reply,
    sort_order_reply,
)
from exchange.spot import Spot
from exchange.transport import Transport
from settings import Settings

CANCELS_PER_ACTION = 100
FILLS_MARGIN_MS = 60_000
"""Fills of an order are asked for from this long before it was made, for clocks that differ."""
SUPPORTED_MODES = ("default", "disabled")


class HyperliquidGateway:
    """The port for one account. Every method raises NotSent, Rejected or Unknown.

    Where a coin is asked for, ccxt's symbol (`ETH/USDC:USDC`) is understood as well as Hyperliquid's name (`ETH`).
    """

    def __init__(self, transport: Transport, settings: Settings, signer: str) -> None:
        self.signer = signer
        self.account = settings.account or signer
        self._settings = settings
        self._transport = transport
        self._nonces: NonceSource | None = None
        self._nonces_lock = threading.Lock()
        self._vault: str | None = None
        self._vault_known = self.account == self.signer
        self._market_orders = MarketOrders(self, settings.slippage_bps)
        self.spot = Spot(transport, self.account, signer, self.draw_nonce, self._vault_address)

    @classmethod
    def connect(cls, settings: Settings, *, key: PrivateKey, governor: Governor | None = None) -> "HyperliquidGateway":
        """Opens nothing yet: connection, markets and nonce slot are taken when first needed. `governor` is the
        process's own; without one, it is a command's. Raises SetupRefused."""
        at = endpoint(settings)
        governor = governor or Governor.of(at, settings.command_weight)
        return cls(Transport(at, settings.account or key.address, key, governor), settings, key.address)

    async def close(self) -> None:
        """Let go of connections and of the nonce slot."""
        await self._transport.close()
        if self._nonces is not None:
            self._nonces.close()

    def draw_nonce(self) -> int:
        """A nonce this signer never used and never will again; from any thread. The first takes the process's slot."""
        with self._nonces_lock:
            if self._nonces is None:
                settings = self._settings
                self._nonces = NonceSource(
                    settings.state_dir, self.signer, slots=settings.nonce_slots, slot=settings.nonce_slot
                )
        return self._nonces.draw()

    async def coin_of(self, symbol_or_coin: str) -> str:
        """Hyperliquid's name of a perpetual. Raises Rejected, with the nearest names, when it is not listed."""
        for reload in (False, True):
            markets = await self._transport.markets(reload=reload)
            listed = {symbol: market["info"]["name"] for symbol, market in markets.items() if market["active"]}
            coins = {coin.lower(): coin for coin in listed.values()}
            coin = listed.get(symbol_or_coin) or coins.get(symbol_or_coin.lower())
            if coin is not None:
                return str(coin)
        name = symbol_or_coin.split("/")[0].lower()
        near = [coins[match] for match in difflib.get_close_matches(name, coins, n=3, cutoff=0.5)]
        hint = f"did you mean {', '.join(near)}?" if near else f"{len(coins)} perpetuals are, among them BTC and ETH"
        raise Rejected(f"coin {symbol_or_coin} is not traded on {self._transport.at.network}: {hint}")

    async def market_rules(self, coin: str) -> MarketRules:
        """The market as it is now: two requests."""
        coin = await self.coin_of(coin)
        market, fees = await asyncio.gather(
            self._transport.info({"type": "metaAndAssetCtxs"}),
            self._transport.info({"type": "userFees", "user": self.account}),
        )
        with shapes.shape_of("metaAndAssetCtxs"):
            meta, contexts = market
        return shapes.market_rules(meta, contexts, fees, coin)

    async def get_position(self, coin: str) -> Position:
        """The account's net position in the coin; size 0 when flat."""
        coin = await self.coin_of(coin)
        return shapes.position(await self._account_state(), coin)

    async def get_balance(self, currency: str) -> Balance:
        """USDC is the margin of the perpetuals account; anything else is a token of the spot side."""
        if currency.upper() != "USDC":
            return await self.spot.balance(currency)
        return shapes.usd_balance(await self._account_state())

    async def account_value(self) -> AccountValue:
        """Equity, what is free of it, and what is held: the lightest question there is about all of an account."""
        state = await self._account_state()
        balance = shapes.usd_balance(state)
        return AccountValue(equity_usd=balance.total, free_usd=balance.free, positions=shapes.positions(state))

    async def leverage(self, coin: str) -> int:
        """The setting for the coin, flat or not."""
        return (await self._leverage_setting(await self.coin_of(coin)))[0]

    async def set_leverage(self, coin: str, leverage: int, *, nonce: int) -> None:
        """Cross margin at `leverage`, isolated where the market allows nothing else. Nothing is sent when it is set
        already; the same nonce can be given again after any failure."""
        coin = await self.coin_of(coin)
        row = await self._market_row(coin)
        if not 1 <= leverage <= int(row["maxLeverage"]):
            raise Rejected(f"leverage is {leverage}: 1 to {row['maxLeverage']} is allowed for {coin}")
        cross = not shapes.only_isolated(row)
        wanted = (leverage, cross)
        if await self._leverage_setting(coin) == wanted:
            return
        action = leverage_action(int(row["baseId"]), leverage, cross=cross)
        vault = await self._vault_address()
        try:
            check_performed(await self._transport.act(action, nonce, vault=vault))
        except NonceUsed:
            # Sent before and not answered: what is set now says whether it was performed. If not, the nonce went to
            # something else, and setting it twice does no harm.
            if await self._leverage_setting(coin) != wanted:
                check_performed(await self._transport.act(action, self.draw_nonce(), vault=vault))

    async def check_account_mode(self) -> None:
        """Raises Rejected for an account that the key can't trade for, or whose balances mean something else."""
        await self._vault_address()
        mode = await self._transport.info({"type": "userAbstraction", "user": self.account})
        if mode not in SUPPORTED_MODES:
            raise Rejected(
                f"account {self.account} is in mode {mode!r}: only {' and '.join(SUPPORTED_MODES)} are supported,"
                " because in the others clearinghouseState shows only a part of the margin; change it in the account"
                " settings of the exchange"
            )

    async def check_signer(self) -> None:
        """Raises Rejected for a key that may not sign for the account."""
        await self._vault_address()

    async def address_budget(self) -> AddressBudget:
        """How many actions the account has left."""
        return shapes.address_budget(await self._transport.info({"type": "userRateLimit", "user": self.account}))

    async def clock_skew_ms(self) -> int:
        """How far our clock is ahead of the exchange's; off by up to half a round trip."""
        before_ms = wall_ms()
        answer = await self._transport.info({"type": "exchangeStatus"}, urgent=True)
        middle_ms = (before_ms + wall_ms()) // 2
        with shapes.shape_of("exchangeStatus"):
            return middle_ms - int(answer["time"])

    async def order_by_cloid(self, cloid: str) -> OrderRecord | None:
        """None may mean not yet: a record can be up to 1.5 s late."""
        request = {"type": "orderStatus", "user": self.account, "oid": cloid}
        return shapes.order_record(await self._transport.info(request, urgent=True))

    async def fills(self, *, since_ms: int, cloid: str | None = None) -> tuple[Fill, ...]:
        """Executions from `since_ms` on, oldest first; of one order when `cloid` is given."""
        info = partial(self._transport.info, urgent=cloid is not None)
        return await account.fills_since(info, self.account, since_ms, cloid)

    async def fills_of(self, intent: Intent, *, margin_ms: int = FILLS_MARGIN_MS) -> tuple[Fill, ...]:
        """The executions of one intent, if the exchange's clock is not behind ours by more than the margin."""
        since_ms = min(intent.nonce, intent.expires_after_ms) - margin_ms
        return await self.fills(since_ms=since_ms, cloid=intent.cloid)

    async def open_orders(self, coin: str | None = None) -> tuple[OpenOrder, ...]:
        """Resting orders of the account, those that wait for a trigger among them."""
        if coin is not None:
            coin = await self.coin_of(coin)
        rows = await self._transport.info({"type": "frontendOpenOrders", "user": self.account})
        return tuple(order for order in shapes.open_orders(rows) if coin is None or order.coin == coin)

    async def open_stops(self, coin: str) -> tuple[OpenOrder, ...]:
        """Of those in the coin, the ones that wait for a trigger."""
        return tuple(order for order in await self.open_orders(coin) if order.trigger_price is not None)

    async def cancel_orders(self, orders: Sequence[OpenOrder]) -> None:
        """Take resting orders off the book; one that is gone already is no error. Look again for what came of it."""
        ids = [(int((await self._market_row(order.coin))["baseId"]), order.oid) for order in orders]
        for start in range(0, len(ids), CANCELS_PER_ACTION):
            action = cancel_action(ids[start : start + CANCELS_PER_ACTION])
            check_action_reply(await self._transport.act(action, self.draw_nonce(), vault=await self._vault_address()))

    async def cancel_order(self, coin: str, cloid: str, *, since_ms: int) -> CancelOutcome:
        """Cancel a resting order, as a stop, and establish its definite end. See `exchange.cancelling`."""
        return await cancel(self, await self.coin_of(coin), cloid, since_ms=since_ms - FILLS_MARGIN_MS)

    async def remove(self, coin: str, cloid: str) -> Removed:
        """Send the cancel of one order once. A nonce that is spent says nothing of the order: NotSent."""
        action = cancel_by_cloid_action(int((await self._market_row(coin))["baseId"]), cloid)
        vault = await self._vault_address()
        try:
            return sort_cancel_reply(await self._transport.act(action, self.draw_nonce(), vault=vault))
        except (NonceUsed, NonceTooLow) as spent:
            raise NotSent(f"the cancel of order {cloid} needs another nonce: {spent}") from spent

    async def account_facts(self, *, since_ms: int, funding_since_ms: int | None = None) -> AccountFacts:
        """Positions and resting orders of all coins, and what was filled and paid since: at least four requests."""
        return await account.account_facts(
            self._transport.info,
            self.account,
            since_ms=since_ms,
            funding_since_ms=since_ms if funding_since_ms is None else funding_since_ms,
        )

    async def price_range(self, coin: str, *, from_ms: int, to_ms: int) -> PriceRange | None:
        """Lowest and highest price between two moments, to the minute; None where nothing was traded."""
        return await account.price_range(self._transport.info, coin, from_ms=from_ms, to_ms=to_ms)

    async def place(self, intent: Intent) -> Filled | Resting | Declined:
        """Send the intent once. Only what is returned is definite; settle everything else by `execute`."""
        self._check_own(intent)
        reply = await self._transport.act(
            order_action(intent),
            intent.nonce,
            vault=await self._vault_address(),
            expires_after_ms=intent.expires_after_ms,
        )
        return sort_order_reply(reply, may_rest=intent.trigger_price is not None)

    async def fence(self, intent: Intent) -> None:
        """Spend the intent's nonce on nothing. Returns when it is spent: the intent can then never execute.

        Raises NonceUsed when it was spent before, by the order or by an earlier fence.
        """
        self._check_own(intent)
        # For the signer's own account: the nonce belongs to the signer, whichever account the order was for.
        check_performed(await self._transport.act(NOOP, intent.nonce))

    async def execute(self, intent: Intent) -> OrderOutcome:
        """Send the intent and establish its definite outcome. See `exchange.execution`."""
        self._check_own(intent)
        return await execute(self, intent)

    async def place_market_order(
        self, symbol_or_coin: str, side: Side | str, size: Number, *, reduce_only: bool = False
    ) -> OrderOutcome:
        """Buy or sell `size` coins (rounded down to the lot) at no worse than `slippage_bps` from the mid."""
        return await self._market_orders.place(symbol_or_coin, side, size, reduce_only=reduce_only)

    async def close_position(self, symbol_or_coin: str) -> OrderOutcome | None:
        """Close the whole position in the coin at market; None when there is none. Compare `filled_size` with it."""
        return await self._market_orders.close_position(symbol_or_coin)

    async def _account_state(self) -> Any:
        return await self._transport.info({"type": "clearinghouseState", "user": self.account})

    async def _market_row(self, coin: str) -> dict[str, Any]:
        """The coin's entry of the universe as ccxt keeps it: `baseId` is the asset's number. Raises Rejected."""
        for market in (await self._transport.markets()).values():
            if market["info"]["name"] == coin:
                row: dict[str, Any] = market["info"]
                return row
        raise Rejected(f"coin {coin} is no perpetual on {self._transport.at.network}")

    async def _leverage_setting(self, coin: str) -> tuple[int, bool]:
        """Leverage and whether it is cross."""
        answer = await self._transport.info({"type": "activeAssetData", "user": self.account, "coin": coin})
        with shapes.shape_of("activeAssetData"):
            return int(answer["leverage"]["value"]), answer["leverage"]["type"] == "cross"

    async def _vault_address(self) -> str | None:
        if not self._vault_known:
            # Urgent, as an order may wait for it; asked once.
            self._vault = await vault_address(partial(self._transport.info, urgent=True), self.account, self.signer)
            self._vault_known = True
        return self._vault

    def _check_own(self, intent: Intent) -> None:
        own = (self.signer, self.account)
        if (intent.signer, intent.account) != own:
            raise NotSent(
                f"order {intent.cloid} is signed by {intent.signer} for {intent.account}; this process signs by"
                f" {own[0]} for {own[1]}: run it where that key is"
            )
