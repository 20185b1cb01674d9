"""The spot side of the account, as a workflow may use it: USDC moves there, tokens are bought by `execute_order`.

Every verb run twice has the effect of once.
"""

from temporalio import activity

from activities.failures import check_own, told_to_temporal
from activities.heartbeats import heartbeating
from activities.messages import LedgerFacts, LedgerQuestion, SpotFacts, SpotQuestion, TransferQuestion, TransferRequest
from exchange.gateway import HyperliquidGateway
from exchange.nonces import wall_ms
from exchange.spot_port import TransferIntent, TransferOutcome
from settings import Settings


class SavingActivities:
    """Bound to one account; the work of another one is for another worker."""

    def __init__(self, gateway: HyperliquidGateway, settings: Settings) -> None:
        self._gateway = gateway
        self._settings = settings

    @activity.defn
    async def inspect_spot(self, question: SpotQuestion) -> SpotFacts:
        """The coin's pair and price, what is owned of it and in USDC there, and whether money may be moved there."""
        self._check_own(question.network, question.account)
        spot = self._gateway.spot
        async with told_to_temporal():
            return SpotFacts(
                rules=await spot.rules(question.coin),
                signer=self._gateway.signer,
                usd=await spot.balance("USDC"),
                owned=await spot.balance(question.coin),
                may_transfer=await spot.may_transfer(),
                slippage_bps=self._settings.slippage_bps,
            )

    @activity.defn
    async def prepare_transfer(self, question: TransferQuestion) -> TransferIntent:
        """Fix a transfer. Kept in history before it is made, so that every try to send it signs the same bytes."""
        self._check_own(question.network, question.account)
        async with told_to_temporal():
            return await self._gateway.spot.prepare_transfer(question.usd, to_perp=question.to_perp)

    @activity.defn
    async def make_transfer(self, request: TransferRequest) -> TransferOutcome:
        """Send a transfer and establish its definite outcome: once, however often this runs and where."""
        self._check_own(request.network, request.intent.account)
        async with heartbeating(), told_to_temporal():
            return await self._gateway.spot.transfer(request.intent)

    @activity.defn
    async def read_ledger(self, question: LedgerQuestion) -> LedgerFacts:
        """Deposits, withdrawals and other movements of money since a moment."""
        self._check_own(question.network, question.account)
        at_ms = wall_ms()
        async with told_to_temporal():
            updates = await self._gateway.spot.ledger_updates(since_ms=question.since_ms)
        return LedgerFacts(at_ms=at_ms, updates=updates)

    def _check_own(self, network: str, account: str) -> None:
        check_own((network, account), (self._settings.network, self._gateway.account))
