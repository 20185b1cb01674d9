"""What savings ask of the spot side: facts, transfers and orders, each fixed in history before it is sent."""

from datetime import timedelta
from decimal import Decimal
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.failures import REFUSED
    from activities.messages import (
        Message,
        OrderRequest,
        SpotFacts,
        SpotQuestion,
        TransferQuestion,
        TransferRequest,
        orders_queue,
        tag_of,
    )
    from exchange.port import Intent, OrderOutcome, Side
    from exchange.spot_port import TransferIntent, TransferOutcome
    from journal import entries
    from strategy.values import plain
    from workflows.desk import EXPIRY_MS
    from workflows.diary import Diary, now_ms
    from workflows.portfolio.grants import ANSWERS_WITHIN, ASK_AGAIN
    from workflows.portfolio.record import PortfolioRecord

T = TypeVar("T")

SETTLES_WITHIN = timedelta(minutes=2)
HEARTBEAT = timedelta(seconds=2)


class NotForSale(Exception):
    """The exchange has no such pair, or more than one."""


class SpotDesk:
    def __init__(self, record: PortfolioRecord, diary: Diary) -> None:
        self._record = record
        self._diary = diary

    async def inspect(self, coin: str) -> SpotFacts:
        """Raises NotForSale."""
        record = self._record
        question = SpotQuestion(network=record.input.network, account=record.account, coin=coin)
        try:
            return await self._ask("inspect_spot", question, SpotFacts, f"{coin} on spot")
        except ActivityError as error:
            if isinstance(error.cause, ApplicationError) and error.cause.type == REFUSED:
                raise NotForSale(error.cause.message) from error
            raise

    async def prepare_transfer(self, usd: Decimal, *, to_perp: bool) -> TransferIntent:
        record = self._record
        perp_usd = usd if to_perp else -usd
        # Two like ones can't be told apart before the ledger has shown the first.
        await workflow.wait_condition(lambda: perp_usd not in record.moves_unseen)
        question = TransferQuestion(network=record.input.network, account=record.account, usd=usd, to_perp=to_perp)
        return await self._ask("prepare_transfer", question, TransferIntent, "fix a transfer")

    async def transfer(self, coin: str, intent: TransferIntent) -> TransferOutcome:
        """Have it made, once the journal has it too, and wait until it is definite what came of it. Making the same
        again is safe."""
        await self._diary.written()
        request = TransferRequest(network=self._record.input.network, intent=intent)
        where = "to the margin" if intent.to_perp else "to the spot side"
        what = f"{words(intent.usd)} {where}"
        outcome = await self._settle("make_transfer", request, TransferOutcome, what, intent.signer)
        self._diary.add(
            entries.TransferRecord,
            coin=coin,
            nonce=intent.nonce,
            usd=intent.usd,
            to_perp=intent.to_perp,
            status=outcome.status,
            reason=outcome.text or None,
            **outcome.proof.model_dump(),
        )
        return outcome

    async def prepare_order(self, coin: str, facts: SpotFacts, size: Decimal) -> Intent:
        """Fix a buy at the price of this moment."""
        record = self._record
        assert record.trade is not None
        nonce = await self._draw_nonce()
        intent = Intent(
            cloid=f"0x{tag_of(record.trade.trade_id)}{nonce:016x}",
            account=record.account,
            signer=record.signer,
            nonce=nonce,
            coin=facts.rules.coin,
            asset=facts.rules.asset,
            side=Side.BUY,
            size=size,
            limit_price=_limit(facts),
            reduce_only=False,
            expires_after_ms=now_ms() + EXPIRY_MS,
        )
        fields = intent.model_dump(exclude={"account", "asset", "traceparent"})
        self._diary.add(entries.IntentRecord, purpose=f"savings in {coin}", **fields)
        return intent

    async def order(self, intent: Intent) -> OrderOutcome:
        """As `transfer`."""
        await self._diary.written()
        request = OrderRequest(network=self._record.input.network, intent=intent)
        what = f"buy {intent.size:f} {intent.coin} for savings"
        outcome = await self._settle("execute_order", request, OrderOutcome, what, intent.signer)
        self._diary.add(
            entries.OutcomeRecord,
            cloid=intent.cloid,
            status=outcome.status,
            total_size=abs(outcome.filled_size),
            average_price=outcome.average_price,
            fee_usd=outcome.fee_usd,
            reason=outcome.text or None,
            **outcome.proof.model_dump(),
        )
        for fill in outcome.fills:
            fields = fill.model_dump(include={"oid", "tid", "price", "size", "fee_usd", "time_ms"})
            self._diary.add(entries.FillRecord, cloid=intent.cloid, **fields)
        return outcome

    async def _draw_nonce(self) -> int:
        signer = self._record.signer
        nonce: int = await workflow.execute_activity(
            "draw_nonce",
            signer,
            result_type=int,
            task_queue=orders_queue(signer),
            start_to_close_timeout=ANSWERS_WITHIN,
            retry_policy=ASK_AGAIN,
            summary="a nonce for savings",
        )
        return nonce

    async def _ask(self, activity: str, question: Message, answer: type[T], what: str) -> T:
        found: T = await workflow.execute_activity(
            activity,
            question,
            result_type=answer,
            task_queue=orders_queue(self._record.signer),
            start_to_close_timeout=ANSWERS_WITHIN,
            retry_policy=ASK_AGAIN,
            summary=what,
        )
        return found

    async def _settle(self, activity: str, request: Message, answer: type[T], what: str, signer: str) -> T:
        """Asked until its outcome is definite, where the key is that signed it: a former one's, after a handover."""
        found: T = await workflow.execute_activity(
            activity,
            request,
            result_type=answer,
            task_queue=orders_queue(signer),
            start_to_close_timeout=SETTLES_WITHIN,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=ASK_AGAIN,
            summary=what,
        )
        return found


def size_for(facts: SpotFacts, usd: Decimal) -> Decimal:
    """What it buys at the limit; 0 below the exchange's minimum."""
    return facts.rules.size_for(usd, _limit(facts))


def words(usd: Decimal) -> str:
    return f"{plain(usd):f} USD"


def _limit(facts: SpotFacts) -> Decimal:
    return facts.rules.limit_price(Side.BUY, Decimal(facts.slippage_bps))
