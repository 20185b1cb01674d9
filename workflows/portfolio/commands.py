"""What operators may ask of a portfolio: read, checked against the state it is in, written down for the loop."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.messages import Message
    from journal.entries import OperatorRecord, RejectedInput
    from portfolio.book import skimmed, unallocated_usd
    from portfolio.curve import begun_anew
    from strategy.values import plain
    from workflows.asked import printable
    from workflows.diary import Diary, now_ms
    from workflows.portfolio.asked import Apply, EmergencyStop, End, Exit, Rebalance, ReleaseAll, Skim
    from workflows.portfolio.emergency import stop_everything
    from workflows.portfolio.rebalancing import leave_coin
    from workflows.portfolio.record import DueSaving, PortfolioRecord
    from workflows.portfolio.savings import try_again
    from workflows.portfolio.watch import Watch

NOTES_KEPT = 50


class Commands:
    """Each command has a check, which raises ValueError with what is allowed, and an effect on the record."""

    def __init__(self, record: PortfolioRecord, diary: Diary, watch: Watch) -> None:
        self._record = record
        self._diary = diary
        self._watch = watch

    def check_apply(self, asked: Apply) -> None:
        """Shares below what coins have are for the next RESET or `rebalance`; nothing is taken from a trade here."""

    def apply(self, asked: Apply) -> str:
        record = self._record
        if asked.terms == record.terms:
            return self._done("apply", asked, f"version {record.terms_version} stays: nothing differs")
        if asked.terms.limits != record.terms.limits:
            self._watch.begin_anew()
        record.terms, record.terms_version = asked.terms, record.terms_version + 1
        record.left = [coin for coin in record.left if coin not in asked.terms.shares]
        try_again(record)
        return self._done("apply", asked, f"version {record.terms_version} holds from now on")

    def check_rebalance(self, asked: Rebalance) -> None:
        self._refuse_while_stopped("rebalance")

    def rebalance(self, asked: Rebalance) -> str:
        self.check_rebalance(asked)
        self._record.rebalance = asked
        when = "at once" if asked.now else "when each is 100% long again"
        return self._done(
            "rebalance", asked, f"trades that are off their share by more than the band are resized {when}"
        )

    def check_skim(self, asked: Skim) -> None:
        record = self._record
        most_usd = unallocated_usd(record.book)
        if asked.usd > most_usd:
            raise ValueError(f"usd is {asked.usd:f}; at most {plain(most_usd):f} is in no trade and owed to nobody")
        if asked.coin is None and record.terms.savings_coin is None:
            raise ValueError("coin is missing: the terms have no savings_coin, so say what is to be bought")

    def skim(self, asked: Skim) -> str:
        self.check_skim(asked)
        record = self._record
        coin = asked.coin or record.terms.savings_coin or ""
        record.book = skimmed(record.book, coin, asked.usd)
        due = DueSaving(coin=coin, usd=asked.usd, trade="skim", cycle=0, at_ms=now_ms())
        record.due = [*record.due, due]
        try_again(record, coin)
        return self._done("skim", asked, f"{asked.usd:f} USD are to become {coin}")

    def check_exit(self, asked: Exit) -> None:
        record = self._record
        has = {each.coin for each in record.book.allocations.values()}
        if asked.coin not in has and asked.coin not in record.terms.shares:
            raise ValueError(f"coin is {asked.coin}; {', '.join(sorted({*has, *record.terms.shares}))} can be left")

    def exit(self, asked: Exit) -> str:
        self.check_exit(asked)
        leave_coin(self._record, asked)
        if asked.coin in self._record.left:
            how = "no trade of it runs; it is given nothing more"
        elif asked.now:
            how = "its trades are closed now"
        else:
            how = "its trades begin no new cycle"
        return self._done("exit", asked, f"{asked.coin} is left: {how}")

    def check_emergency_stop(self, asked: EmergencyStop) -> None:
        """Never refused."""

    def emergency_stop(self, asked: EmergencyStop) -> str:
        reason = asked.reason or "asked by the operator"
        stop_everything(self._record, reason, everything=asked.everything)
        return self._done("emergency_stop", asked, "every trade is told to stop; nothing begins before the release")

    def check_release(self, asked: ReleaseAll) -> None:
        record = self._record
        if record.latch is None and not record.held_back:
            raise ValueError("release is for a portfolio that is stopped or held back; this one is neither")
        if record.latch is not None and record.latch.proof is None:
            raise ValueError(f"not everything is flat yet: {record.latch.trouble or 'it is being stopped'}")

    def release(self, asked: ReleaseAll) -> str:
        self.check_release(asked)
        record = self._record
        record.latch, record.held_back = None, []
        if asked.new_high:
            record.curve = begun_anew(record.curve)
        self._watch.begin_anew()
        return self._done("release", asked, "trades may begin again")

    def check_end(self, asked: End) -> None:
        record = self._record
        self._refuse_while_stopped("end")
        trades = sorted({*record.book.allocations, *(each.trade for each in record.asks)})
        if trades:
            raise ValueError(
                f"end is for a portfolio without trades; {', '.join(trades)} have their margin from it: "
                f"`portfolio exit COIN` leaves a coin"
            )
        if record.purchase is not None:
            raise ValueError(
                f"end is for a portfolio that buys nothing; savings in {record.purchase.coin} are under way"
            )

    def end(self, asked: End) -> str:
        self.check_end(asked)
        self._record.is_over = True
        owed_usd = plain(self._record.book.owed_usd)
        kept = f"; {owed_usd:f} USD that were to be saved stay in the account" if owed_usd else ""
        return self._done("end", asked, f"portfolio {self._record.input.name} is over{kept}")

    def refused(self, name: str, text: str) -> None:
        """Nothing is lost: what was refused is in the notes and the journal."""
        name, text = printable(name[:100]), printable(text[:500])
        self.note(f"{name} refused: {text}")
        if self._record.trade is not None:
            self._diary.add(RejectedInput, name=name, payload="", text=text)

    def note(self, text: str) -> None:
        workflow.logger.warning("%s", text)
        self._record.notes = [*self._record.notes, text[:300]][-NOTES_KEPT:]

    def _refuse_while_stopped(self, command: str) -> None:
        record = self._record
        if record.latch is not None or record.held_back:
            why = record.latch.reason if record.latch is not None else record.held_back[0].text
            raise ValueError(f"{command} is for a portfolio that is not stopped or held back; this one is: {why}")

    def _done(self, command: str, asked: Message, result: str) -> str:
        if self._record.trade is not None:
            self._diary.add(OperatorRecord, command=command, arguments=asked.model_dump(mode="json"), result=result)
        return result
