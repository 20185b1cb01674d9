"""What a trade says of itself: to queries while it runs, and at its end."""

from decimal import Decimal

from activities.messages import Message, trade_name
from strategy.fibonacci import Hedge
from strategy.state import Losses
from strategy.values import Phase
from workflows.asked import TradeInput
from workflows.contracts import AwayReport, Difference, FlatProof, LastOrder, Mode, OpenAsk, PlanVersion, RestingStop
from workflows.granting import Leave


class LedgerView(Message):
    """Query `ledger`. Quantities in coin, money in USD; equity at `price`."""

    long: Decimal
    short: Decimal
    short_entry: Decimal
    cash: Decimal
    allocation: Decimal
    equity: Decimal
    net: Decimal
    price: Decimal
    taken_usd: Decimal = Decimal(0)
    """Taken out by the portfolio since the opening: it counts as earned."""


ASK_AGAIN = "the trade is being taken up by a worker: ask again"
"""A query's answer in the moment between a worker's death and the next task: see `workflows.steady`."""


class TradeStatus(Message):
    """Query `status`: all a person wants to see. Units relative to the cycle; triggers are prices."""

    workflow_id: str
    trade_id: str | None
    network: str
    account: str = ""
    """Address whose position moves; empty until the opening has asked the exchange."""
    coin: str
    mode: Mode
    phase: Phase | None
    unit: int
    peak: int
    valley: int
    cycle: int
    anchor_price: Decimal | None
    unit_size: Decimal
    preset: str
    leverage: int | None
    margin_usd: Decimal
    price: Decimal | None
    trigger_up: Decimal | None
    trigger_down: Decimal | None
    steps: int
    input: TradeInput | None = None
    """What it follows: the newest version of its plan."""
    plan_versions: tuple[PlanVersion, ...] = ()
    breach: str | None = None
    """The limit that ends it."""
    backstop: RestingStop | None = None
    hedge: Hedge | None = None
    levels: tuple[Decimal, ...] = ()
    """Where the levels of a Fibonacci hedge lie now; empty until it is armed."""
    losses: Losses = Losses()
    portfolio: str | None = None
    """Gives the margin."""
    open_ask: OpenAsk | None = None
    """Made of it, and not answered or not acted on yet."""
    leave: Leave | None = None
    """No new cycle begins."""
    order_in_flight: bool
    order_due: bool = False
    """An order waits to be sent, or to be tried again; a backstop's too."""
    attention: str | None
    difference: Difference | None = None
    """What the exchange holds otherwise; the answer is adopt, rehedge, release or close."""
    agreed_ms: int = 0
    """When exchange and ledger were last seen to agree."""
    unsettled: str | None = None
    """Why the last look could not say: another trade on the coin was in the middle of something, or silent."""
    flat_proof: FlatProof | None = None
    away: tuple[AwayReport, ...] = ()
    ledger: LedgerView | None
    last_orders: tuple[LastOrder, ...]
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """What it is called: ETH, or ETH-hedge."""
        return trade_name(self.workflow_id)


class TradeResult(Message):
    """What a closed trade leaves behind."""

    coin: str
    reason: str
    cycles: int
    equity: Decimal
    pnl_usd: Decimal
