"""The journal's entries and orders in words."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

from journal import entries
from journal.entries import Entry
from journal.orders import OrderRow
from workflows.away import report_words
from workflows.contracts import AwayReport


def entry_line(entry: Entry) -> str:
    """One line: when, what kind, and what it says."""
    return f"{utc(entry.at_ms)}  {entry.kind:<14} {_words(entry)}"


def orders_table(rows: Sequence[OrderRow]) -> Table:
    """One row per order, with the proof of its outcome."""
    caption = "asks: requests it took until the outcome was definite; 2 = sent, and its fills read"
    table = Table(box=None, header_style="dim", caption=caption, caption_justify="left")
    for name in ("time", "order", "side", "size", "filled", "average", "fee", "came of it", "known by", "at", "asks"):
        table.add_column(name, justify="right" if name in ("size", "filled", "average", "fee", "asks") else "left")
    for row in rows:
        table.add_row(
            utc(row.at_ms),
            row.purpose,
            Text(row.side, style="green" if row.side == "buy" else "red"),
            f"{row.size:f}",
            f"{row.filled_size:f}",
            f"{row.average_price:.4f}" if row.average_price is not None else "-",
            f"{row.fee_usd:f}",
            row.status or "not known yet",
            row.established_by or "-",
            utc(row.established_at_ms).split()[-1] if row.established_at_ms is not None else "-",
            str(row.asks) if row.asks is not None else "-",
        )
    return table


def _words(entry: Entry) -> str:
    match entry:
        case entries.Opened():
            return (
                f"{entry.size:f} {entry.coin} at {entry.anchor_price:.4f}: margin {entry.margin_usd:f} USD at "
                f"{entry.leverage}x, units of {entry.unit_size:f} USD, {entry.preset}"
            )
        case entries.UnitChange():
            return f"{entry.from_unit} -> {entry.to_unit} at {entry.price:f}, cycle {entry.cycle}"
        case entries.Decision():
            legs = ", ".join(f"{leg.action} {leg.qty:.6f}" for leg in entry.legs) or "no trade"
            where = f"unit {entry.unit}, peak {entry.peak}, valley {entry.valley}, cycle {entry.cycle}"
            order = f"; order {entry.order_qty:+.6f}" if entry.order_qty else ""
            return f"{entry.phase} {where} at {entry.price:f}: {legs}{order}"
        case entries.IntentRecord():
            limit = f"{'up' if entry.side == 'buy' else 'down'} to {entry.limit_price:f}"
            return f"{entry.side} {entry.size:f} {entry.coin} {limit} ({entry.purpose}), {entry.cloid}"
        case entries.OutcomeRecord():
            at = f" at {entry.average_price:.4f}" if entry.average_price is not None else ""
            why = f": {entry.reason}" if entry.reason else ""
            proof = f"known by {entry.established_by} after {entry.asks} asks"
            return f"{entry.status} {entry.total_size:f}{at}{why}; {proof}"
        case entries.FillRecord():
            return f"{entry.size:+f} at {entry.price:f}, fee {entry.fee_usd:f} USD, tid {entry.tid}"
        case entries.ResetRecord():
            return (
                f"cycle {entry.cycle} ended at {entry.price:f}: {entry.cycle_pnl_usd:+.2f} USD, "
                f"allocation {entry.allocation_usd:.2f}"
            )
        case entries.MarginRecord():
            took = f"took {entry.taken_usd:.2f}" if entry.taken_usd > 0 else f"put in {-entry.taken_usd:.2f}"
            return (
                f"portfolio {entry.portfolio} {took} USD at a {entry.occasion}, allocation {entry.allocation_usd:.2f}"
            )
        case entries.OperatorRecord():
            reason = f" (reason: {entry.arguments['reason']})" if entry.arguments.get("reason") else ""
            return f"{entry.command}: {entry.result}{reason}"
        case entries.RejectedInput():
            return f"{entry.name}: {entry.text}"
        case entries.AlertRecord():
            return entry.text
        case entries.FundingRecord():
            return f"{entry.usd:+f} USD for {utc(entry.time_ms)}"
        case entries.DifferenceRecord():
            return entry.text
        case entries.LiquidationRecord():
            return f"{entry.size:+f} at {entry.price:f} by the exchange, fee {entry.fee_usd:f} USD, tid {entry.tid}"
        case entries.AwayRecord():
            return report_words(AwayReport(**entry.model_dump(exclude={"kind", "seq", "at_ms"})))
        case entries.Closed():
            proof = ""
            if entry.flat_at_ms is not None:
                proof = (
                    f"; flat and nothing resting, as the exchange said at {utc(entry.flat_at_ms)} "
                    f"after {entry.flat_looks} looks, {entry.cancelled_orders} orders cancelled"
                )
            return f"{entry.reason}; profit or loss {entry.realized_pnl_usd:+.2f} USD{proof}"
        case _:
            return entry.model_dump_json(exclude={"seq", "at_ms", "kind"})


def utc(at_ms: int) -> str:
    """A moment as people read it."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
