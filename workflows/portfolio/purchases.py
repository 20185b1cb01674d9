"""Savings are bought: USDC leaves the margin for the spot side and buys a coin there, each step once.

    owed ── transfer ─┬─ order ─┬─ bought
                      │         └─ refused, again and again ── transfer back ── owed
                      └─ not done ── owed

What is on its way stands in the record before anybody is asked: whoever goes on, and however often, asks for the very
same. One purchase at a time. While everything is stopped or held back none begins; one that is on its way is finished.
"""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.messages import NoticeKind, SpotFacts
    from exchange.errors import RejectReason
    from exchange.port import Intent, OrderOutcome, OutcomeStatus
    from exchange.spot_port import TransferIntent, TransferStatus
    from journal import entries
    from strategy.values import ZERO
    from workflows.diary import Diary, now_ms
    from workflows.messenger import Messenger
    from workflows.portfolio import savings
    from workflows.portfolio.grants import account_value
    from workflows.portfolio.record import DueSaving, PortfolioRecord, Purchase, SavingsWait
    from workflows.portfolio.savings import DAY_MS
    from workflows.portfolio.spot_desk import NotForSale, SpotDesk, size_for, words

TRIES_MAX = 5
"""Orders that find nobody or are refused; then the money goes back."""
PAUSE = timedelta(seconds=2)
"""Before the next order; it doubles."""
MARGIN_AGAIN_MS = 5 * 60 * 1000
TRANSFER_AGAIN_MS = 60 * 1000
"""It doubles, up to a day."""
AGAIN_AFTER = timedelta(minutes=1)
LATER = "it is tried again in a day, or after portfolio apply or skim"


class Purchases:
    def __init__(self, record: PortfolioRecord, diary: Diary, messenger: Messenger) -> None:
        self._record = record
        self._diary = diary
        self._messenger = messenger
        self._desk = SpotDesk(record, diary)

    async def save_forever(self) -> None:
        while True:
            # The watch reports every minute: a wait that is over is seen then.
            await workflow.wait_condition(lambda: self._record.purchase is not None or self._next() is not None)
            try:
                await self._advance()
            except ActivityError as error:
                if is_cancelled_exception(error):
                    raise
                workflow.logger.warning("savings are tried again: %s", error.cause or error)
                await workflow.sleep(AGAIN_AFTER)

    def _next(self) -> str | None:
        """The coin that is tried now."""
        if self._is_held:
            return None
        record = self._record
        return next((coin for coin in (*record.book.owed, *record.spot_usd) if self._may_try(coin)), None)

    @property
    def _is_held(self) -> bool:
        """No money leaves the margin while a limit is broken, or at the end."""
        record = self._record
        return record.latch is not None or bool(record.held_back) or record.is_over

    def _may_try(self, coin: str) -> bool:
        usd = savings.to_spend_usd(self._record, coin)
        wait = self._record.savings_waits.get(coin)
        if not usd or wait is None:
            return usd > 0
        return now_ms() >= wait.until_ms or (wait.usd not in (None, usd) and usd >= wait.least_usd)

    async def _advance(self) -> None:
        """One step: the exchange is asked, and what follows is in the record before anything else happens."""
        match self._record.purchase:
            case None:
                if (coin := self._next()) is not None:
                    await self._begin(coin)
            case Purchase(moved=False, transfer=TransferIntent() as transfer) as purchase:
                await self._move(purchase, transfer)
            case Purchase(back=TransferIntent() as back) as purchase:
                await self._move_back(purchase, back)
            case Purchase(refused="", order=None) as purchase:
                await self._decide(purchase)
            case Purchase(refused="", order=Intent() as order) as purchase:
                await self._order(purchase, order)
            case purchase:
                await self._give_back(purchase)

    async def _begin(self, coin: str) -> None:
        """Nothing moves before it is known that it can buy something."""
        record = self._record
        owed_usd = savings.movable_usd(record, coin)
        try:
            facts = await self._desk.inspect(coin)
        except NotForSale as error:
            usd = savings.to_spend_usd(record, coin)
            self._wait(coin, f"{words(usd)} are to become {coin}, which can't be bought: {error}", DAY_MS, usd=usd)
            return
        has_usd = min(record.spot_usd.get(coin, ZERO), facts.usd.free)
        if not size_for(facts, has_usd + owed_usd):
            self._accumulate(coin, facts)
            return
        trouble = await self._why_not_moved(coin, owed_usd, facts) if owed_usd else None
        if self._is_held:
            return
        if owed_usd and trouble is None:
            await self._set_out(coin, owed_usd)
        elif size_for(facts, has_usd):
            record.purchase = Purchase(coin=coin, usd=ZERO, moved=True)
        elif trouble is not None:
            again_ms = MARGIN_AGAIN_MS if facts.may_transfer else DAY_MS
            # A margin that is needed now is nothing a person has to see to.
            tells, usd = not facts.may_transfer, savings.to_spend_usd(record, coin)
            self._wait(coin, trouble, again_ms, usd=usd, tells=tells)

    async def _why_not_moved(self, coin: str, usd: Decimal, facts: SpotFacts) -> str | None:
        if not facts.may_transfer:
            return _by_hand(coin, usd)
        value = await account_value(self._record)
        if value.free_usd < usd:
            return f"{words(usd)} are to become {coin}; the margin has {words(value.free_usd)} free"
        return None

    async def _set_out(self, coin: str, usd: Decimal) -> None:
        record = self._record
        intent = await self._desk.prepare_transfer(usd, to_perp=False)
        # What a hand has moved meanwhile is not moved again.
        if not self._is_held and savings.movable_usd(record, coin) >= usd:
            savings.set_out(record, coin, intent)

    async def _move(self, purchase: Purchase, transfer: TransferIntent) -> None:
        coin = purchase.coin
        outcome = await self._desk.transfer(coin, transfer)
        if outcome.status is TransferStatus.DONE:
            savings.moved(self._record, purchase)
            return
        savings.not_moved(self._record, purchase)
        if outcome.reason is RejectReason.KEY:
            self._wait(coin, _by_hand(coin, purchase.usd), DAY_MS)
            return
        before = self._record.savings_waits.get(coin)
        tries = before.tries + 1 if before is not None else 1
        text = f"{words(purchase.usd)} for {coin} did not move to the spot side: {outcome.text or 'nobody knows why'}"
        self._wait(coin, text, min(TRANSFER_AGAIN_MS * 2 ** (tries - 1), DAY_MS), tries=tries)

    async def _decide(self, purchase: Purchase) -> None:
        """Fix the order for good, at the price of this moment."""
        record, coin = self._record, purchase.coin
        try:
            facts = await self._desk.inspect(coin)
        except NotForSale as error:
            record.purchase = purchase.model_copy(update={"refused": str(error)})
            return
        has_usd = record.spot_usd.get(coin, ZERO)
        size = size_for(facts, min(has_usd, facts.usd.free))
        if not size and facts.usd.free < has_usd and purchase.tries + 1 < TRIES_MAX:
            # What has just arrived may be shown a moment later.
            await self._pause(purchase)
            return
        if not size:
            # The price has risen, or somebody else has spent it: what is there goes with the next.
            record.purchase = None
            self._accumulate(coin, facts)
            return
        order = await self._desk.prepare_order(coin, facts, size)
        record.purchase = purchase.model_copy(update={"order": order})

    async def _order(self, purchase: Purchase, order: Intent) -> None:
        record = self._record
        outcome = await self._desk.order(order)
        if outcome.status is OutcomeStatus.FILLED:
            self._bought(purchase, outcome)
            return
        if purchase.tries + 1 < TRIES_MAX:
            await self._pause(purchase)
            return
        record.purchase = purchase.model_copy(update={"order": None, "refused": outcome.text or str(outcome.status)})

    async def _pause(self, purchase: Purchase) -> None:
        """Before it is tried anew."""
        self._record.purchase = purchase.model_copy(update={"order": None, "tries": purchase.tries + 1})
        await workflow.sleep(PAUSE * 2**purchase.tries)

    def _bought(self, purchase: Purchase, outcome: OrderOutcome) -> None:
        done = savings.bought(self._record, purchase, outcome, now_ms())
        self._diary.add(
            entries.SavedRecord,
            coin=done.coin,
            size=done.size,
            price=done.price,
            usd=done.usd,
            of=tuple(_source(each) for each in done.of),
        )
        self._messenger.tell(
            f"saved: {done.size:f} {done.coin} at {done.price:.8g} for {words(done.usd)}", NoticeKind.RESET
        )

    async def _give_back(self, purchase: Purchase) -> None:
        """What could not buy goes back; what was on the spot side before stays."""
        record, coin = self._record, purchase.coin
        if purchase.usd:
            savings.set_back(record, purchase, await self._desk.prepare_transfer(purchase.usd, to_perp=True))
            return
        record.purchase = None
        usd = record.spot_usd.get(coin, ZERO)
        self._wait(coin, f"{words(usd)} on the spot side could not buy {coin}: {purchase.refused}; {LATER}", DAY_MS)

    async def _move_back(self, purchase: Purchase, back: TransferIntent) -> None:
        coin, usd = purchase.coin, back.usd
        outcome = await self._desk.transfer(coin, back)
        if outcome.status is TransferStatus.DONE:
            savings.moved_back(self._record, purchase, usd)
            where = "back with the margin and owed"
        else:
            savings.not_moved_back(self._record, usd)
            where = f"on the spot side ({outcome.text or 'they did not move back'})"
        text = f"{coin} could not be bought: {purchase.refused}; {words(usd)} are {where}; {LATER}"
        self._wait(coin, text, DAY_MS)

    def _accumulate(self, coin: str, facts: SpotFacts) -> None:
        """There is not enough yet."""
        record = self._record
        has_usd = record.spot_usd.get(coin, ZERO)
        missing = f"{words(has_usd)} are to buy {coin}; the spot side has {words(facts.usd.free)} free"
        text = missing if facts.usd.free < has_usd else ""
        usd, least_usd = savings.to_spend_usd(record, coin), facts.rules.min_notional_usd
        self._wait(coin, text, DAY_MS, usd=usd, least_usd=least_usd)

    def _wait(self, coin: str, text: str, for_ms: int, *, tells: bool = True, **until: Any) -> None:
        """`until`: fields of SavingsWait. A trouble is told once; while it lasts its words may change."""
        waits = self._record.savings_waits
        told = bool(text) and coin in waits and waits[coin].told
        if text and tells and not told:
            self._messenger.tell(f"savings wait: {text}")
            told = True
        waits[coin] = SavingsWait(until_ms=now_ms() + for_ms, text=text[:500], told=told, **until)


def _by_hand(coin: str, usd: Decimal) -> str:
    return (
        f"the key may not move money: {words(usd)} are owed to {coin}; move them by hand (perp -> spot), "
        "or give a key that may"
    )


def _source(due: DueSaving) -> str:
    return f"{due.trade} cycle {due.cycle}" if due.cycle else due.trade
