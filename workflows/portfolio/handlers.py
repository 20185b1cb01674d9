"""What a portfolio hears and tells: signals of trades and operators, updates that answer, queries."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue

with workflow.unsafe.imports_passed_through():
    from activities.messages import SignBy, SignedBy
    from journal.entries import Standing
    from workflows.diary import now_ms
    from workflows.granting import MarginAsk, TradeEnded
    from workflows.handover import Handover
    from workflows.portfolio.asked import Apply, EmergencyStop, End, Exit, Rebalance, ReleaseAll, Skim
    from workflows.portfolio.commands import Commands
    from workflows.portfolio.record import PortfolioRecord
    from workflows.portfolio.standing import standing_of
    from workflows.portfolio.status import PortfolioStatus, status_view
    from workflows.reading import read_one

SIGNALS = ("apply", "rebalance", "skim", "exit", "emergency_stop", "release", "end")
"""An operator's; each is an update too."""
FLAT_WITHIN = timedelta(seconds=90)
WAITING_MAX = 500


class Handlers:
    _record: PortfolioRecord
    _commands: Commands
    _handover: Handover

    @workflow.query(description="Everything about the portfolio, for people and programs")
    def status(self) -> PortfolioStatus:
        return status_view(self._record, workflow.info().workflow_id)

    @workflow.query(description="All that another run of it would begin with, as the journal keeps it")
    def standing(self) -> Standing:
        if self._record.trade is None:
            raise ValueError("the portfolio does not know its account yet")
        return standing_of(self._record, now_ms())

    @workflow.signal(description="Of a trade: its start, its RESET, or that it was told to ask")
    def ask_margin(self, given: Any = None, *extra: Any) -> None:
        asked, record = read_one(MarginAsk, given, extra), self._record
        if any(each.ask_id == asked.ask_id for each in record.asks):
            return
        if len(record.asks) >= WAITING_MAX:
            raise ValueError(f"{len(record.asks)} asks wait; it is told again")
        record.asks = [*record.asks, asked]

    @workflow.signal(description="Of a trade: flat, and never an order again")
    def trade_ended(self, given: Any = None, *extra: Any) -> None:
        self._record.ended = [*self._record.ended, read_one(TradeEnded, given, extra)]

    @workflow.signal(description='New terms, whole: {"terms": {...}}; easier by `hypertrader portfolio apply`')
    def apply(self, given: Any = None, *extra: Any) -> None:
        self._commands.apply(read_one(Apply, given, extra))

    @workflow.update(name="apply", description="As the signal, with an answer")
    async def update_apply(self, given: Any = None, *extra: Any) -> str:
        return self._commands.apply(read_one(Apply, given, extra))

    @update_apply.validator
    def _check_apply(self, given: Any = None, *extra: Any) -> None:
        self._commands.check_apply(read_one(Apply, given, extra))

    @workflow.signal(description='Back to the shares: {"now": false, "reason": "..."}')
    def rebalance(self, given: Any = None, *extra: Any) -> None:
        self._commands.rebalance(read_one(Rebalance, given, extra))

    @workflow.update(name="rebalance", description="As the signal, with an answer")
    async def update_rebalance(self, given: Any = None, *extra: Any) -> str:
        return self._commands.rebalance(read_one(Rebalance, given, extra))

    @update_rebalance.validator
    def _check_rebalance(self, given: Any = None, *extra: Any) -> None:
        self._commands.check_rebalance(read_one(Rebalance, given, extra))

    @workflow.signal(description='Free money into savings: {"usd": "100", "coin": "ETH"}')
    def skim(self, given: Any = None, *extra: Any) -> None:
        self._commands.skim(read_one(Skim, given, extra))

    @workflow.update(name="skim", description="As the signal, with an answer")
    async def update_skim(self, given: Any = None, *extra: Any) -> str:
        return self._commands.skim(read_one(Skim, given, extra))

    @update_skim.validator
    def _check_skim(self, given: Any = None, *extra: Any) -> None:
        self._commands.check_skim(read_one(Skim, given, extra))

    @workflow.signal(description='Leave a coin: {"coin": "ETH", "now": false, "profit_usd": null, "until_ms": null}')
    def exit(self, given: Any = None, *extra: Any) -> None:
        self._commands.exit(read_one(Exit, given, extra))

    @workflow.update(name="exit", description="As the signal, with an answer")
    async def update_exit(self, given: Any = None, *extra: Any) -> str:
        return self._commands.exit(read_one(Exit, given, extra))

    @update_exit.validator
    def _check_exit(self, given: Any = None, *extra: Any) -> None:
        self._commands.check_exit(read_one(Exit, given, extra))

    @workflow.signal(
        description='Close every trade, and begin none until released: {"reason": "...", "everything": false}'
    )
    def emergency_stop(self, given: Any = None, *extra: Any) -> None:
        self._commands.emergency_stop(read_stop(given, extra))

    @workflow.update(name="emergency_stop", description="As the signal; answers when the exchange is flat")
    async def update_emergency_stop(self, given: Any = None, *extra: Any) -> str:
        self._commands.emergency_stop(read_stop(given, extra))
        record = self._record
        try:
            await workflow.wait_condition(
                lambda: record.latch is None or record.latch.proof is not None, timeout=FLAT_WITHIN
            )
        except TimeoutError:
            trouble = record.latch.trouble if record.latch is not None else None
            return f"stopping: {trouble or 'the exchange does not say yet that all is flat'}; it is tried on"
        proof = record.latch.proof if record.latch is not None else None
        return "released" if proof is None else f"flat: {proof.words}"

    @workflow.signal(description='Trades may begin again: {"reason": "..."}')
    def release(self, given: Any = None, *extra: Any) -> None:
        self._commands.release(read_one(ReleaseAll, given, extra))

    @workflow.update(name="release", description="As the signal, with an answer")
    async def update_release(self, given: Any = None, *extra: Any) -> str:
        return self._commands.release(read_one(ReleaseAll, given, extra))

    @update_release.validator
    def _check_release(self, given: Any = None, *extra: Any) -> None:
        self._commands.check_release(read_one(ReleaseAll, given, extra))

    @workflow.signal(description='Trade without a portfolio: {"reason": "..."}; for one that has no trade')
    def end(self, given: Any = None, *extra: Any) -> None:
        self._commands.end(read_one(End, given, extra))

    @workflow.update(name="end", description="As the signal, with an answer")
    async def update_end(self, given: Any = None, *extra: Any) -> str:
        return self._commands.end(read_one(End, given, extra))

    @update_end.validator
    def _check_end(self, given: Any = None, *extra: Any) -> None:
        self._commands.check_end(read_one(End, given, extra))

    @workflow.query(description="By whose key it signs, and who has to finish what is on its way")
    def signed_by(self) -> SignedBy:
        record = self._record
        began = record.purchase.signers if record.purchase is not None else ()
        return SignedBy(account=record.account, signer=record.signer, began=tuple(sorted(began)))

    @workflow.signal(description="From a worker: its key signs from now on")
    def sign_by(self, given: Any = None, *extra: Any) -> None:
        self._handover.told(read_one(SignBy, given, extra))

    @workflow.signal(dynamic=True)
    def unknown_signal(self, name: str, args: Sequence[RawValue]) -> None:
        raise ValueError(f"there is no signal {name}; {', '.join(SIGNALS)} exist")

    def note_refused(self, signal: str, error: Exception) -> None:
        """Called by the guard: what a handler refused is kept where people see it."""
        self._commands.refused(signal, str(error))


def read_stop(given: object, extra: Sequence[object]) -> EmergencyStop:
    """A button for bad moments: what is wrong with its words stops nothing from stopping."""
    try:
        return read_one(EmergencyStop, given, extra)
    except ValueError as error:
        return EmergencyStop(reason=f"asked by the operator, in words that can't be read: {error}"[:500])
