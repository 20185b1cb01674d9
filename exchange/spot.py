"""The spot side of one account behind its port, and the money that comes and goes."""

from collections.abc import Awaitable, Callable
from decimal import Decimal

from exchange import account, spot_shapes
from exchange.actions import NOOP, transfer_action
from exchange.asking import Patience
from exchange.errors import NotSent, Rejected
from exchange.grid import round_size_down
from exchange.port import Balance
from exchange.roles import is_api_wallet
from exchange.sorting import Declined, NonceTooLow, NonceUsed, check_performed
from exchange.spot_port import LedgerUpdate, SpotRules, TransferIntent, TransferOutcome
from exchange.transfers import LOOK_BACK_MS, like, transfer
from exchange.transport import Transport

USD_DECIMALS = 6
LEDGER_PATIENCE = Patience(visible_after_s=10.0)
"""A transfer that is taken for undone is made again: it is waited for longer than an order."""


class Spot:
    """Every method raises NotSent, Rejected or Unknown."""

    def __init__(
        self,
        transport: Transport,
        account: str,
        signer: str,
        draw_nonce: Callable[[], int],
        vault: Callable[[], Awaitable[str | None]],
    ) -> None:
        self._transport = transport
        self._account = account
        self._signer = signer
        self._draw_nonce = draw_nonce
        self._vault = vault

    async def rules(self, name: str) -> SpotRules:
        """The pair of `ETH`, `UETH` or `@151` against USDC as it is now: two requests."""
        market = await self._transport.info({"type": "spotMetaAndAssetCtxs"})
        fees = await self._transport.info({"type": "userFees", "user": self._account})
        return spot_shapes.spot_rules(market, fees, name)

    async def balances(self) -> tuple[Balance, ...]:
        """All that is owned on spot, USDC there included; `used` is what resting orders hold back."""
        return tuple((await self._balances()).values())

    async def balance(self, name: str) -> Balance:
        """Of one token, 0 when nothing of it is owned; `USDC` is that of the spot side."""
        index, token = spot_shapes.USDC_INDEX, spot_shapes.USDC
        if name.upper() != spot_shapes.USDC:
            _, row = spot_shapes.pair_of(await self._transport.info({"type": "spotMeta"}), name)
            index, token = row["index"], row["name"]
        none = Balance(currency=token, total=Decimal(0), used=Decimal(0), free=Decimal(0))
        return (await self._balances()).get(index, none)

    async def _balances(self) -> dict[int, Balance]:
        return spot_shapes.balances(
            await self._transport.info({"type": "spotClearinghouseState", "user": self._account})
        )

    async def may_transfer(self) -> bool:
        """Whether the key may move money between the sides: an API wallet may trade only."""
        return not await is_api_wallet(self._transport.info, self._signer)

    async def ledger_updates(self, *, since_ms: int) -> tuple[LedgerUpdate, ...]:
        """What moved otherwise than by trading and funding from `since_ms` on, oldest first."""
        return await account.ledger_since(self._transport.info, self._account, since_ms)

    async def prepare_transfer(self, usd: Decimal, *, to_perp: bool) -> TransferIntent:
        """Fix a transfer, to be kept before `transfer` sends it. Raises Rejected for an amount that is none."""
        if usd <= 0 or round_size_down(usd, USD_DECIMALS) != usd:
            raise Rejected(f"usd is {usd}: an amount above 0 with at most {USD_DECIMALS} decimals is allowed")
        intent = TransferIntent(
            account=self._account, signer=self._signer, nonce=self._draw_nonce(), usd=usd, to_perp=to_perp
        )
        before = await self.ledger_updates(since_ms=intent.nonce - LOOK_BACK_MS)
        return intent.model_copy(update={"seen": tuple(each.hash for each in like(before, intent))})

    async def transfer(self, intent: TransferIntent) -> TransferOutcome:
        """Send a transfer and establish its definite outcome. See `exchange.transfers`."""
        self._check_own(intent)
        return await transfer(self, intent, patience=LEDGER_PATIENCE)

    async def send(self, intent: TransferIntent) -> Declined | None:
        """Send it once. Only what is returned is definite; None is done."""
        self._check_own(intent)
        action = transfer_action(intent, mainnet=self._transport.at.mainnet, sub_account=await self._vault())
        reply = await self._transport.act_as_user(action)
        try:
            check_performed(reply)
        except (NonceUsed, NonceTooLow):
            raise
        except Rejected as refusal:
            return Declined(refusal.reason, str(refusal))
        return None

    async def fence_transfer(self, intent: TransferIntent) -> None:
        """Spend the transfer's nonce on nothing. Raises NonceUsed when it was spent before."""
        self._check_own(intent)
        check_performed(await self._transport.act(NOOP, intent.nonce))

    def _check_own(self, intent: TransferIntent) -> None:
        if (intent.signer, intent.account) != (self._signer, self._account):
            raise NotSent(
                f"transfer {intent.nonce} is signed by {intent.signer} for {intent.account}; this process signs by"
                f" {self._signer} for {self._account}: run it where that key is"
            )
