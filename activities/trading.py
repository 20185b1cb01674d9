"""The exchange, as a trade's workflow may use it. Every verb run twice, on any machine, has the effect of once."""

from collections.abc import Sequence
from decimal import Decimal

from opentelemetry import trace
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities.failures import refused, told_to_temporal
from activities.heartbeats import heartbeating
from activities.looking import LookingActivities
from activities.messages import CancelRequest, LeverageChange, MarketFacts, MarketQuestion, Neighbour, OrderRequest
from activities.neighbours import NotReached, Own, asked_around, found_on, greet
from activities.notifying import Telling
from activities.saving import SavingActivities
from activities.stopping import StoppingActivities
from activities.watching import WatchingActivities
from exchange.gateway import HyperliquidGateway
from exchange.port import CancelOutcome, OrderOutcome, Position
from settings import Settings
from telemetry.tracing import context_of

_tracer = trace.get_tracer("hypertrader.activities")


class TradingActivities:
    """Bound to one account and key; refuses work of another network."""

    def __init__(self, gateway: HyperliquidGateway, settings: Settings) -> None:
        self._gateway = gateway
        self._settings = settings
        self.looking = LookingActivities(gateway, settings)
        self.saving = SavingActivities(gateway, settings)
        self.telling = Telling(settings)
        self.watching = WatchingActivities(gateway, settings)

    def stopping(self, client: Client, former: Sequence[str] = ()) -> StoppingActivities:
        """Those that talk to the trades too, which run on `client`'s Temporal: also those of former signers."""
        return StoppingActivities(client, self._gateway, self._settings, former)

    @activity.defn
    async def inspect_market(self, question: MarketQuestion) -> MarketFacts:
        """The coin's rules and prices, the account's position in it and its free margin."""
        self._same_network(question.network, final=True)
        async with told_to_temporal():
            await self._gateway.check_account_mode()
            rules = await self._gateway.market_rules(question.coin)
            position, others = await self._shared_position(question)
            balance = await self._gateway.get_balance("USDC")
        return MarketFacts(
            rules=rules,
            account=self._gateway.account,
            signer=self._gateway.signer,
            position=position,
            free_usd=balance.free,
            slippage_bps=self._settings.slippage_bps,
            others=others,
        )

    async def _shared_position(self, question: MarketQuestion) -> tuple[Position, tuple[Neighbour, ...] | None]:
        """With the trades that have a part in it, each of which has heard of the one that asks."""
        if question.trade_id is None:
            return await self._gateway.get_position(question.coin), None
        try:
            found = await found_on(question.coin, question.trade_id)
            await greet(found, question.trade_id)
        except NotReached as error:
            raise ApplicationError(str(error), type="NotReached") from error
        own = Own(question.coin, question.network, self._gateway.account)
        position, beside = await asked_around(found, own, lambda: self._gateway.get_position(question.coin))
        if beside.unsettled is not None:
            raise ApplicationError(beside.unsettled, type="Unsettled")
        return position, beside.others

    @activity.defn
    async def current_price(self, question: MarketQuestion) -> Decimal:
        """The middle of the book, USD per coin."""
        self._same_network(question.network)
        async with told_to_temporal():
            return (await self._gateway.market_rules(question.coin)).mid_price

    @activity.defn
    async def read_position(self, question: MarketQuestion) -> Position:
        """What the exchange holds for the account in this coin."""
        self._same_network(question.network)
        async with told_to_temporal():
            return await self._gateway.get_position(question.coin)

    @activity.defn
    async def draw_nonce(self, signer: str) -> int:
        """A nonce that this signer never used and never will again. Drawn first and kept in history, so that every try
        to send signs the same bytes."""
        if signer != self._gateway.signer:
            raise refused(
                f"the trade's orders are signed by {signer}; this worker holds the key of {self._gateway.signer}"
            )
        return self._gateway.draw_nonce()

    @activity.defn
    async def set_leverage(self, change: LeverageChange) -> None:
        """Cross margin at this leverage; a no-op where it is set already."""
        self._same_network(change.network)
        async with told_to_temporal():
            await self._gateway.set_leverage(change.coin, change.leverage, nonce=change.nonce)

    @activity.defn
    async def execute_order(self, request: OrderRequest) -> OrderOutcome:
        """Send an intent and establish its definite outcome: at most one order, however often this runs and where.

        A stop's outcome is definite as soon as it rests.
        """
        self._same_network(request.network)
        intent = request.intent
        attributes: dict[str, str | int] = {
            "cloid": intent.cloid,
            "coin": intent.coin,
            "attempt": activity.info().attempt,
        }
        with _tracer.start_as_current_span(
            "activity.execute_order", context=context_of(intent.traceparent), attributes=attributes
        ):
            async with heartbeating(), told_to_temporal():
                return await self._gateway.execute(intent)

    @activity.defn
    async def cancel_order(self, request: CancelRequest) -> CancelOutcome:
        """Take a stop off the exchange, and say whether it had fired; of one that is gone already, how it ended."""
        self._same_network(request.network)
        if request.account != self._gateway.account:
            raise ApplicationError(
                f"the trade is of account {request.account}; this worker serves {self._gateway.account}",
                type="WrongAccount",
            )
        async with heartbeating(), told_to_temporal():
            return await self._gateway.cancel_order(request.coin, request.cloid, since_ms=request.since_ms)

    def _same_network(self, network: str, *, final: bool = False) -> None:
        """An open trade waits for a worker of its network; one that is being opened is refused."""
        if network != self._settings.network:
            text = f"the trade is for network {network}; this worker serves {self._settings.network}"
            raise refused(text) if final else ApplicationError(text, type="WrongNetwork")
