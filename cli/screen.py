"""How a trade looks in a terminal: pure, from its status and the price of the moment to something rich can draw."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.bars import bar, parts_of
from plans.entry import entry_words
from workflows.away import report_words
from workflows.contracts import LastOrder, Mode
from workflows.display import portfolio_lines
from workflows.leaving import leave_words
from workflows.status import LedgerView, TradeStatus

WIDTH = 80
"""Fits the narrowest terminal people still use."""
BAR_WIDTH = 72
ORDERS_SHOWN = 6
VERSIONS_SHOWN = 3

PHASE_STYLE = {"ADVANCE": "bold green", "RETRACEMENT": "bold yellow", "DECLINE": "bold red", "RECOVERY": "bold cyan"}
_FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def screen(
    status: TradeStatus, price: Decimal | None, web_url: str | None = None, hint: str | None = None
) -> RenderableType:
    """The whole picture. `price` is the exchange's now; the status knows the last one that completed a unit."""
    price = price if price is not None else status.price
    parts: list[RenderableType] = [_headline(status), Text()]
    if status.ledger is not None and price is not None:
        parts += [_bar(status.ledger, price), Text(), _figures(status, status.ledger, price), Text()]
    elif status.mode is Mode.WAITING and status.input is not None:
        parts += [Text(f"waits for its entry: {entry_words(status.input.entry)}", style="bold"), Text()]
    elif status.mode is Mode.ASKING:
        parts += [Text(f"waits for its margin from portfolio {status.portfolio}", style="bold"), Text()]
    else:
        parts += [Text("opening: the market is checked, then the position is bought", style="dim"), Text()]
    parts += [Text(line, style="dim") for line in _plan_lines(status)]
    parts.append(_orders(status.last_orders))
    if status.attention:
        parts += [Text(), Text(f"ATTENTION: {status.attention}", style="bold white on red")]
    parts += [Text(f"while I was away: {report_words(report)}", style="cyan") for report in status.away[-2:]]
    parts += [Text(f"note: {note}", style="yellow") for note in status.notes]
    if hint:
        parts += [Text(), Text(hint, style="bold")]
    if web_url:
        parts += [Text(), Text.assemble(("Temporal Web UI  ", "dim"), (web_url, "underline"))]
    title = f"{status.name} · {status.network} · {status.preset} · {status.leverage or '?'}x"
    return Panel(Group(*parts), title=title, title_align="left", padding=(1, 2), width=WIDTH)


def svg(status: TradeStatus, price: Decimal | None, web_url: str | None = None) -> str:
    """The picture as a file that stands alone."""
    console = Console(record=True, width=WIDTH, file=StringIO())
    console.print(screen(status, price, web_url))
    text = console.export_svg(title="hypertrader")
    # The fonts rich names lie on somebody's server; any monospaced font will do.
    return _FONT_FACE.sub("", text)


def equity_now(ledger: LedgerView, price: Decimal) -> Decimal:
    """The book's value is a straight line in the price, whose slope is what the exchange holds."""
    return ledger.equity + ledger.net * (price - ledger.price)


def line(status: TradeStatus, price: Decimal | None) -> str:
    """The same on one line, for logs and pipes."""
    parts = [f"{status.name} {status.phase or status.mode.value} unit {status.unit} peak {status.peak}"]
    parts.append(f"valley {status.valley} cycle {status.cycle}")
    if status.mode is not Mode.TRADING:
        parts.append(f"({status.mode.value})")
    if (ledger := status.ledger) is not None:
        at = price if price is not None else ledger.price
        equity = equity_now(ledger, at)
        parts.append(f"| long {ledger.long:.4f} short {ledger.short:.4f} cash {ledger.cash:.2f}")
        parts.append(f"| equity {equity:.2f} ({equity - status.margin_usd + ledger.taken_usd:+.2f}) | price {at:f}")
        parts.append(f"next {status.trigger_down or 0:.2f} / {status.trigger_up or 0:.2f}")
    if status.last_orders:
        parts.append(f"| last: {_order_in_words(status.last_orders[-1])}")
    if status.attention:
        parts.append(f"| ATTENTION: {status.attention}")
    return " ".join(parts)


def _plan_lines(status: TradeStatus) -> list[str]:
    """What a plan or a portfolio adds to the picture, and an empty line below it; nothing of a trade without."""
    lines = []
    if status.input is not None and status.input.plan is not None:
        expires_ms = status.input.expires_ms
        until = f", until {datetime.fromtimestamp(expires_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC" if expires_ms else ""
        lines.append(f"plan {status.input.plan.name}, version {status.input.plan.version}{until}")
    for version in status.plan_versions[-VERSIONS_SHOWN:]:
        at = datetime.fromtimestamp(version.at_ms / 1000, UTC)
        lines.append(f"version {version.version} since {at:%m-%d %H:%M}: {version.changes}")
    if status.hedge is not None:
        levels = " ".join(f"{price:.8g}" for price in status.levels) or "not armed yet"
        lost = f"lost to gaps {status.losses.gap_usd:.2f}, to whipsaws {status.losses.whipsaw_usd:.2f}"
        lines.append(f"entry {status.hedge.entry_price:.8g}, levels {levels}; {lost}")
    if status.backstop is not None:
        terms = status.backstop.terms
        lines.append(f"backstop on the exchange: {terms.size:+f} at {terms.trigger_price:f}")
    taken_usd = status.ledger.taken_usd if status.ledger is not None else Decimal(0)
    lines += portfolio_lines(status.portfolio, status.open_ask, taken_usd)
    if status.leave is not None:
        lines.append(leave_words(status.leave))
    return [*lines, ""] if lines else []


def _headline(status: TradeStatus) -> Text:
    phase = str(status.phase or status.mode.value)
    text = Text.assemble((f" {phase} ", PHASE_STYLE.get(phase, "bold")))
    for name, value in (
        ("unit", status.unit),
        ("peak", status.peak),
        ("valley", status.valley),
        ("cycle", status.cycle),
    ):
        text.append(f"  {name} ", style="dim").append(str(value), style="bold")
    if status.mode is not Mode.TRADING:
        text.append(f"  {status.mode.value.upper()}", style="bold magenta")
    if status.order_in_flight:
        text.append("  order in flight", style="italic")
    return text


def _bar(ledger: LedgerView, price: Decimal) -> Text:
    """Long, short and cash as shares of the book at this price."""
    shown = parts_of(ledger.long, ledger.short, ledger.short_entry, ledger.cash, price)
    total = sum((value for value, _ in shown.values()), Decimal(0))
    text = Text(" ")
    if not total:
        return text.append("nothing is held", style="dim")
    text.append(bar(shown, BAR_WIDTH)).append("\n")
    for name, (value, style) in shown.items():
        text.append(f" {name} ", style=style).append(f"{value / total:.0%}  ")
    return text


def _figures(status: TradeStatus, ledger: LedgerView, price: Decimal) -> Table:
    equity = equity_now(ledger, price)
    profit = equity - status.margin_usd + ledger.taken_usd
    table = Table.grid(padding=(0, 2))
    for _ in range(6):
        table.add_column(justify="right", no_wrap=True)
    style = "green" if profit >= 0 else "red"
    table.add_row(
        Text("price", style="dim"),
        Text(f"{price:f}", style="bold"),
        Text("next down", style="dim"),
        f"{status.trigger_down or 0:.2f}",
        Text("next up", style="dim"),
        f"{status.trigger_up or 0:.2f}",
    )
    table.add_row(
        Text("equity", style="dim"),
        Text(f"{equity:,.2f}", style="bold"),
        Text("P/L", style="dim"),
        Text(f"{profit:+,.2f}", style=style),
        Text("allocation", style="dim"),
        f"{ledger.allocation:,.2f}",
    )
    table.add_row(
        Text("long", style="dim"),
        f"{ledger.long:f}",
        Text("short", style="dim"),
        f"{ledger.short:f}" + (f" @ {ledger.short_entry:.2f}" if ledger.short else ""),
        Text("cash", style="dim"),
        f"{ledger.cash:,.2f}",
    )
    return table


def _orders(orders: tuple[LastOrder, ...]) -> RenderableType:
    if not orders:
        return Text("no orders yet", style="dim")
    table = Table(box=None, padding=(0, 2), header_style="dim", pad_edge=False)
    for name, justify in (
        ("time", "left"),
        ("order", "left"),
        ("size", "right"),
        ("price", "right"),
        ("came of it", "left"),
    ):
        table.add_column(name, justify="right" if justify == "right" else "left")
    for order in orders[-ORDERS_SHOWN:]:
        table.add_row(
            f"{datetime.fromtimestamp(order.time_ms / 1000, UTC):%H:%M:%S}",
            order.purpose,
            Text(f"{order.size:+f}" if order.size else "-", style="green" if order.size > 0 else "red"),
            f"{order.price:.2f}" if order.price is not None else "-",
            order.status,
        )
    return table


def _order_in_words(order: LastOrder) -> str:
    if not order.size:
        return f"{order.purpose}: {order.status}"
    return f"{'buy' if order.size > 0 else 'sell'} {abs(order.size):f} at {order.price:.2f} ({order.purpose})"
