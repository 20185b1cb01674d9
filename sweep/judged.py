"""What the judge reads and says: the evidence of a run, what it is compared with, what is asked of it, a violation."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Json = dict[str, Any]
ZERO = Decimal(0)


@dataclass(frozen=True)
class Violation:
    """`rule` is a word to count by, `text` a sentence with the figures."""

    rule: str
    text: str


@dataclass(frozen=True)
class Resting:
    """An order of the run's that is open on the exchange. Size signed, in coin; without a trigger it is on the book."""

    size: Decimal
    trigger_price: Decimal | None
    reduce_only: bool


@dataclass(frozen=True)
class Step:
    """Where a trade stood when it had come to rest. Sizes signed, in coin; `took_s` from the price to the rest,
    `recovered_s` from the last fault of the step, None when nothing was wrong in it; `told_size` as the trade says."""

    name: str
    net_size: Decimal
    took_s: float = 0.0
    recovered_s: float | None = None
    told_size: Decimal | None = None
    resting: tuple[Resting, ...] = ()


@dataclass(frozen=True)
class Touch:
    """A stranger's hand: its orders, when it had done, and when the trade was answered; None if it never was."""

    oids: frozenset[int]
    from_ms: int
    to_ms: int | None = None


@dataclass(frozen=True)
class AccountProof:
    """What the account's emergency stop says that the exchange said; `stopped` are the coins of trades."""

    at_ms: int
    stopped: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """What the exchange has of a run on `coin`; `oids_before` are orders and liquidations of earlier runs."""

    coin: str
    signer: str
    ledger: Json
    """The account's part of `/control/ledger`, after the run."""
    requests: list[Json]
    """`/control/requests` of the run."""
    account: Json
    """The venue's `clearinghouseState`, after the run."""
    steps: tuple[Step, ...]
    oids_before: frozenset[int] = frozenset()
    told_pnl_usd: Decimal | None = None
    """The trade's own account of what it won or lost."""
    earned_usd: Decimal | None = None
    """How much the account's value changed over the run."""
    at_ms: int = 0
    """When all this was read, by the exchange's clock."""
    decisions: tuple[Json, ...] = ()
    """The trade's journal: compared with the run without faults, and with nothing else."""
    guarded: bool = False
    """The trade has a backstop: a stop that rests while anything is held."""
    asset: int = 0
    """The coin's number in requests."""
    touches: tuple[Touch, ...] = ()
    flat_at_ms: int | None = None
    """When the exchange said that nothing was left, as the trade tells it; None if it does not."""
    proof_due: bool = False
    """The trade was told to close or to stop."""
    told_liquidated: Decimal = ZERO
    """Size that the trade recorded as liquidated."""
    account_proof: AccountProof | None = None
    account_proof_due: bool = False
    """The whole account was told to stop."""


@dataclass(frozen=True)
class Baseline:
    """The same run without faults."""

    steps: tuple[Step, ...]
    orders: tuple[tuple[str, Decimal], ...]
    """Side and filled size of each order that filled, in the order they were accepted."""
    decisions: tuple[Json, ...] = ()
    stops: tuple[str, ...] = ()
    """Each stop that was accepted, in words."""


@dataclass(frozen=True)
class Limits:
    """What is asked of a run.

    `same_orders` is off where the exchange itself split an order, which takes more orders and more decisions to the
    same end; `expiry_settles` is on where the exchange lies about a nonce, so that only the order's expiry says that it
    will never execute; `touched_share` is what a position may differ by, as a share of the largest one, once a hand has
    cost the trade money and the run it is compared with knew no hand.
    """

    recovered_s_max: float = 30.0
    same_orders: bool = True
    expiry_settles: bool = False
    touched_share: Decimal = ZERO
