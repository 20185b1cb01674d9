"""What people see of a trade: queries, search attributes and the Web UI's details."""

from decimal import Decimal

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

with workflow.unsafe.imports_passed_through():
    from activities.messages import TradeSummary, trade_name
    from plans.entry import entry_words
    from strategy.hedge_steps import level_prices
    from strategy.state import Losses, TradeState
    from workflows.away import report_words
    from workflows.contracts import Mode, OpenAsk, TradeRecord
    from workflows.diary import moment
    from workflows.leaving import leave_words
    from workflows.status import LedgerView, TradeResult, TradeStatus

COIN = SearchAttributeKey.for_keyword("Coin")
PHASE = SearchAttributeKey.for_keyword("Phase")
UNIT = SearchAttributeKey.for_int("Unit")
CYCLE = SearchAttributeKey.for_int("Cycle")
MODE = SearchAttributeKey.for_keyword("Mode")

NOTES_SHOWN = 5


def search_attributes(record: TradeRecord) -> TypedSearchAttributes:
    """Coin, Phase, Unit, Cycle and Mode, as the Web UI lists and the Temporal CLI filters them."""
    pairs: list[SearchAttributePair[str] | SearchAttributePair[int]] = [
        SearchAttributePair(COIN, record.input.coin),
        SearchAttributePair(MODE, record.mode.value),
    ]
    if (state := record.state) is not None:
        pairs += [
            SearchAttributePair(PHASE, state.phase.value),
            SearchAttributePair(UNIT, state.current_unit),
            SearchAttributePair(CYCLE, state.cycle),
        ]
    return TypedSearchAttributes(pairs)


def ledger_view(state: TradeState, price: Decimal) -> LedgerView:
    ledger = state.ledger
    return LedgerView(
        long=ledger.long_qty,
        short=ledger.short_qty,
        short_entry=ledger.short_entry,
        cash=ledger.cash,
        allocation=state.allocation,
        equity=state.equity(price),
        net=ledger.net_qty,
        price=price,
        taken_usd=state.taken_usd,
    )


def status_view(record: TradeRecord, workflow_id: str, *, order_in_flight: bool, order_due: bool) -> TradeStatus:
    state, asked = record.state, record.input
    price = record.last_price
    down, up = record.followed[0].next_lines(record.followed[1]) if record.followed else (None, None)
    return TradeStatus(
        workflow_id=workflow_id,
        trade_id=record.trade.trade_id if record.trade else None,
        network=asked.network,
        account=record.account,
        coin=asked.coin,
        mode=record.mode,
        phase=state.phase if state else None,
        unit=state.current_unit if state else 0,
        peak=state.peak_unit if state else 0,
        valley=state.valley_unit if state else 0,
        cycle=state.cycle if state else 0,
        anchor_price=state.grid.anchor_price if state else None,
        unit_size=state.grid.unit_size if state else asked.unit_size,
        preset=asked.ladder.name,
        leverage=state.terms.leverage if state else asked.leverage,
        margin_usd=record.margin_usd,
        price=price,
        trigger_up=up,
        trigger_down=down,
        steps=len(state.steps) if state else 0,
        input=asked,
        plan_versions=tuple(record.plan_versions),
        breach=state.breach if state else None,
        backstop=record.stop,
        hedge=state.hedge if state else None,
        levels=level_prices(state) if state else (),
        losses=state.losses if state else Losses(),
        portfolio=asked.portfolio,
        open_ask=record.open_ask,
        leave=record.leave,
        order_in_flight=order_in_flight,
        order_due=order_due,
        attention=record.attention,
        difference=record.difference,
        agreed_ms=record.agreed_ms,
        unsettled=record.unsettled,
        flat_proof=record.flat_proof,
        away=tuple(record.away_reports),
        ledger=ledger_view(state, price) if state and price is not None else None,
        last_orders=tuple(record.last_orders),
        notes=tuple(record.notes[-NOTES_SHOWN:]),
    )


def summary_view(record: TradeRecord, workflow_id: str) -> TradeSummary:
    state, price, proof = record.state, record.last_price, record.flat_proof
    seen = TradeSummary(
        workflow_id=workflow_id,
        coin=record.input.coin,
        network=record.input.network,
        account=record.account,
        portfolio=record.input.portfolio,
        mode=record.mode,
        margin_usd=record.margin_usd,
        price=price,
        flat_at_ms=proof.asked_at_ms if proof else None,
        flat_looks=proof.looks if proof else 0,
        attention=record.attention,
    )
    if state is None or price is None:
        return seen
    return seen.model_copy(
        update={
            "phase": state.phase.value,
            "unit": state.current_unit,
            "cycle": state.cycle,
            "fully_long": state.fully_long,
            "allocation_usd": state.allocation,
            "equity_usd": state.equity(price),
            "pnl_usd": record.earned_usd(price),
            "net_size": state.ledger.net_qty,
        }
    )


class Display:
    """Keeps the Web UI telling the story."""

    def __init__(self, record: TradeRecord) -> None:
        self._record = record
        self._shown = search_attributes(record)

    def show(self) -> None:
        workflow.set_current_details(details_markdown(self._record))
        attributes = search_attributes(self._record)
        if attributes != self._shown:
            workflow.upsert_search_attributes([pair.key.value_set(pair.value) for pair in attributes])
            self._shown = attributes


def result_of(record: TradeRecord) -> TradeResult:
    """Of a trade that has ended; its equity is 0 where nothing was opened."""
    state, coin, reason = record.state, record.input.coin, record.close_reason or ""
    if state is None:
        return TradeResult(coin=coin, reason=reason, cycles=0, equity=Decimal(0), pnl_usd=Decimal(0))
    assert record.last_price is not None
    equity = state.equity(record.last_price)
    return TradeResult(
        coin=coin, reason=reason, cycles=state.cycle, equity=equity, pnl_usd=record.earned_usd(record.last_price)
    )


def portfolio_lines(portfolio: str | None, open_ask: OpenAsk | None, taken_usd: Decimal) -> list[str]:
    """For people; nothing of a trade without one."""
    lines = []
    if portfolio is not None:
        moved = f"took {taken_usd:.2f} USD" if taken_usd >= 0 else f"put in {-taken_usd:.2f} USD"
        lines.append(f"portfolio {portfolio}: {moved} since the opening")
    if open_ask is not None:
        asked = f"asked for its margin at {moment(open_ask.asked_at_ms)} ({open_ask.ask.occasion})"
        lines.append(f"{asked}: {'taken when all is long' if open_ask.answer else 'no answer yet'}")
    return lines


def details_markdown(record: TradeRecord) -> str:
    """The Web UI's current details: phase, ledger, next triggers, last orders, and anything a person must know."""
    state, price = record.state, record.last_price
    name = trade_name(record.trade.trade_id) if record.trade is not None else record.input.coin
    if record.mode is Mode.WAITING:
        return f"**{record.input.coin}** waits for its entry: {entry_words(record.input.entry)}; last price {price}"
    if record.mode is Mode.ASKING:
        return f"**{record.input.coin}** asks portfolio {record.input.portfolio} for its margin"
    if state is None or price is None:
        return f"**{record.input.coin}**: opening {record.margin_usd:f} USD of margin"
    down, up = state.grid.next_lines(state.line)
    ledger = state.ledger
    lines = [
        f"### {name} {state.phase} · {record.mode.value}",
        f"unit **{state.current_unit}** · peak {state.peak_unit} · valley {state.valley_unit} · cycle {state.cycle}",
        "",
        "| long | short (entry) | cash | equity |",
        "| --- | --- | --- | --- |",
        f"| {ledger.long_qty:.6f} | {ledger.short_qty:.6f} ({ledger.short_entry:.2f}) | {ledger.cash:.2f} "
        f"| {state.equity(price):.2f} |",
        "",
        f"last price {price:f} · next down at {down:.6f} · next up at {up:.6f}",
    ]
    if record.stop is not None:
        lines += ["", f"backstop: {record.stop.terms.size:f} at {record.stop.terms.trigger_price:f}"]
    lines += [f"\n{line}" for line in portfolio_lines(record.input.portfolio, record.open_ask, state.taken_usd)]
    if record.leave is not None:
        lines += ["", leave_words(record.leave)]
    if record.attention:
        lines += ["", f"**ATTENTION**: {record.attention}"]
    if record.last_orders:
        lines += ["", "| order | size | price | outcome |", "| --- | --- | --- | --- |"]
        lines += [f"| {o.purpose} | {o.size:f} | {o.price or 0:.4f} | {o.status} |" for o in record.last_orders[-5:]]
    if record.away_reports:
        lines += ["", "**While I was away**", *(f"- {report_words(report)}" for report in record.away_reports[-3:])]
    lines += [f"- {note}" for note in record.notes[-NOTES_SHOWN:]]
    return "\n".join(lines)
