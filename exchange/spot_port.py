"""The port's spot side: pairs, tokens that are owned, USDC that moves between the sides, and money from and to outside.

An order on a pair is an `Intent` like any other, with the pair's asset.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from exchange import grid
from exchange.errors import RejectReason
from exchange.port import Balance, Proof, Side, Value


class SpotRules(Value):
    """One token against USDC, as the exchange lists it now."""

    coin: str
    """The pair's name in orders and fills, as `@107`."""
    asset: int
    token: str
    """As balances call it; bitcoin is UBTC."""
    token_index: int
    """Names are not unique, this is."""
    size_decimals: int
    min_notional_usd: Decimal
    """Of size x limit, whole sales included."""
    mark_price: Decimal
    mid_price: Decimal
    taker_fee_rate: Decimal
    """A buy pays it in what it buys."""
    maker_fee_rate: Decimal

    def limit_price(self, side: Side, slippage_bps: Decimal) -> Decimal:
        """The worst price, on the grid, at which a market order decided now may fill."""
        return grid.limit_price(
            self.mid_price, side, slippage_bps, self.size_decimals, price_decimals=grid.SPOT_PRICE_DECIMALS
        )

    def size_for(self, usd: Decimal, limit_price: Decimal) -> Decimal:
        """What this much USDC pays for at the limit, in lots; 0 when that is below the exchange's minimum.

        Some saw that minimum counted at the price of the book and not at the limit: the lower of both is taken.
        """
        size = grid.round_size_down(usd / limit_price, self.size_decimals)
        return size if size * min(limit_price, self.mid_price) >= self.min_notional_usd else Decimal(0)


class TransferIntent(Value):
    """USDC that is to move between an account's sides, fixed before it is sent: every retry signs the same bytes."""

    account: str
    signer: str
    """The account's own key, or its master's: an API wallet is refused."""
    nonce: int
    usd: Decimal
    """Positive, to the micro-dollar."""
    to_perp: bool
    seen: tuple[str, ...] = ()
    """Hashes of like transfers in the account's ledger before this one: none of them is it."""


class TransferStatus(StrEnum):
    DONE = "done"
    NOT_DONE = "not_done"
    """Refused, or its nonce is spent or too old and the ledger does not show it: it never happens."""


class TransferOutcome(Value):
    """The definite end of a transfer. Its proof is `reply`, `ledger`, `noop_fence` or `not_in_ledger`."""

    status: TransferStatus
    proof: Proof
    reason: RejectReason | None = None
    text: str = ""
    """The exchange's own words for a refusal."""


class LedgerUpdate(Value):
    """Money that moved otherwise than by trading and funding.

    A kind of movement that is not known here has None for both amounts: a person has to look, it is not nothing.
    """

    time_ms: int
    hash: str
    kind: str
    """The exchange's word: `deposit`, `withdraw`, `accountClassTransfer`, ..."""
    usd: Decimal | None
    """What came into the account from outside, fees deducted; negative: what left it. 0 for moves between its sides.
    Tokens count by what they were worth then."""
    perp_usd: Decimal | None
    """By how much its perpetuals side changed."""


class SpotExchange(Protocol):
    """Every method raises NotSent, Rejected or Unknown; none returns an empty value for "could not ask"."""

    async def rules(self, name: str) -> SpotRules: ...
    async def balance(self, name: str) -> Balance: ...
    async def balances(self) -> tuple[Balance, ...]: ...
    async def may_transfer(self) -> bool: ...
    async def prepare_transfer(self, usd: Decimal, *, to_perp: bool) -> TransferIntent: ...
    async def transfer(self, intent: TransferIntent) -> TransferOutcome: ...
    async def ledger_updates(self, *, since_ms: int) -> tuple[LedgerUpdate, ...]: ...
