"""Other trades on the coin: the exchange nets all of them into one position, and each keeps its own ledger of it.

A look compares the exchange with the sum of the ledgers. What differs is nobody's: every trade of the coin stops.
"""

from decimal import Decimal

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.messages import Findings, Greeting, Neighbour, tag_in, tag_of, trade_name
    from exchange.port import Fill
    from strategy.netting import part_of_funding
    from workflows.contracts import Mode, TradeRecord
    from workflows.desk import own_trade_id

NEIGHBOURS_MAX = 50
FORMER_KEPT = 20


class Neighbours:
    def __init__(self, record: TradeRecord) -> None:
        self._record = record

    @property
    def known(self) -> frozenset[str]:
        return frozenset(self._record.neighbours)

    def said_to_them(self) -> Neighbour:
        """What this trade has of the position, and whether that is the last word."""
        record = self._record
        stops = (record.stop, *record.former_stops)
        return Neighbour(
            trade_id=self._own_id,
            coin=record.input.coin,
            network=record.input.network,
            account=record.account,
            mode=record.mode.value,
            size=record.state.ledger.net_qty if record.state is not None else Decimal(0),
            leverage=record.state.terms.leverage if record.state is not None else record.input.leverage,
            unsettled=self._unsettled(),
            stop_cloids=tuple(stop.cloid for stop in stops if stop is not None),
            revision=record.next_seq,
        )

    def _unsettled(self) -> str | None:
        record, name = self._record, self.name
        if record.pending is not None or record.pending_stop is not None:
            return f"an order of {name} is on its way"
        # What it bought is booked when it is open; before its first order is written down there is nothing.
        return f"{name} is opening" if record.mode is Mode.OPENING and record.next_seq > 1 else None

    @property
    def name(self) -> str:
        """As people call this trade."""
        return trade_name(self._own_id)

    @property
    def _own_id(self) -> str:
        trade = self._record.trade
        return trade.trade_id if trade is not None else own_trade_id()

    def heard(self, greeting: Greeting) -> None:
        """Raises ValueError when there are too many."""
        record = self._record
        if greeting.differs:
            record.look_due = record.look_due or "another trade sees a difference"
        if greeting.trade_id in (*record.neighbours, self._own_id):
            return
        if len(record.neighbours) >= NEIGHBOURS_MAX:
            raise ValueError(f"trade_id is {greeting.trade_id}; {NEIGHBOURS_MAX} others are known, no more are allowed")
        record.neighbours = [*record.neighbours, greeting.trade_id]

    def met(self, others: tuple[Neighbour, ...]) -> None:
        record = self._record
        news = [each.trade_id for each in others if each.trade_id not in record.neighbours]
        record.neighbours = [*record.neighbours, *news]

    def seen(self, findings: Findings) -> None:
        """Those that did not count are over; but nothing is concluded from silence."""
        record = self._record
        self.met(findings.others)
        if findings.unsettled is not None:
            return
        record.neighbours_found = True
        running = {each.trade_id for each in findings.others}
        over = [each for each in record.neighbours if each not in running]
        record.neighbours = [each for each in record.neighbours if each in running]
        record.former_neighbours = [*record.former_neighbours, *over][-FORMER_KEPT:]

    def is_theirs(self, fill: Fill) -> bool:
        record = self._record
        return tag_in(fill.cloid) in {tag_of(each) for each in (*record.neighbours, *record.former_neighbours)}

    def part_of(self, usd: Decimal, size: Decimal | None) -> Decimal:
        """Of funding paid for a position of `size`."""
        record = self._record
        if size is None or record.state is None or not (record.neighbours or record.former_neighbours):
            return usd
        return part_of_funding(usd, size, record.state.ledger.net_qty)

    async def tell_of_a_difference(self) -> None:
        """So that all stop now, not each when it looks next."""
        for each in self._record.neighbours:
            handle = workflow.get_external_workflow_handle(each.partition("/")[0])
            try:
                await handle.signal("neighbour", Greeting(trade_id=self._own_id, differs=True))
            except FailureError as error:
                # It ended meanwhile.
                if is_cancelled_exception(error):
                    raise


def sizes_by_name(others: tuple[Neighbour, ...]) -> dict[str, Decimal]:
    return {each.name: each.size for each in others}
