"""How a plan looks in a terminal: what is fixed in it, and what it would do at each level. Pure."""

from collections.abc import Iterator
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.bars import bar, parts_of
from plans.entry import entry_words
from plans.plan import Backstop, Size, TradingPlan
from plans.preview import Preview, Row
from strategy.risk import Limits
from strategy.values import plain

PICTURE_WIDTH = 24
GLYPHS = {"long": "█", "short": "▒", "cash": "░"}
"""They differ without colours too."""


def plan_screen(plan: TradingPlan, seen: Preview, market: str) -> RenderableType:
    """`market` says where lot, leverage and price are from."""
    parts: list[RenderableType] = [_headline(plan, seen), _terms(plan, seen, market), Text(), _levels(seen), Text()]
    parts += [_picture(seen), Text(), _figures(seen)]
    parts += [Text(f"at this price it would be refused: {each}", style="bold red") for each in seen.refusals]
    return Group(*parts)


def _headline(plan: TradingPlan, seen: Preview) -> Text:
    bought = seen.rows[0].order
    text = Text.assemble((f"{plan.name} ", "bold"), (f"version {plan.version}  ", "dim"))
    text.append(f"{seen.coin}, {seen.strategy}, {_usd(seen.margin_usd)} USD of margin at {seen.leverage}x: ")
    return text.append(f"{_number(bought)} {seen.coin} for {_usd(bought * seen.price)} USD at {_number(seen.price)}")


def _terms(plan: TradingPlan, seen: Preview, market: str) -> Table:
    table = _facts()
    table.add_row("size", _size(plan.size, seen))
    table.add_row("unit", f"{_number(plan.unit_size)} USD, counted {plan.unit_mode}; at a reset {plan.at_reset}")
    table.add_row("entry", entry_words(plan.entry))
    table.add_row("exit", ", ".join(_exits(plan)))
    table.add_row("limits", ", ".join(_limits(seen.limits)))
    table.add_row("backstop", _backstop(plan.backstop, seen))
    table.add_row("market", market)
    return table


def _facts() -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column()
    return table


def _size(size: Size, seen: Preview) -> str:
    match size:
        case Size(margin_usd=Decimal() as usd):
            return f"{_usd(usd)} USD of margin"
        case Size(notional_usd=Decimal() as usd):
            return f"{_usd(usd)} USD of notional"
        case Size(risk_usd=Decimal() as usd):
            return f"at most {_usd(usd)} USD lost in the worst case"
        case Size(portfolio=str() as name):
            return (
                f"what portfolio {name} gives; the figures are for {_usd(seen.margin_usd)} USD (--free says how much)"
            )
        case _:
            return f"{_percent(size.portfolio_share)} of what the account has free"


def _exits(plan: TradingPlan) -> Iterator[str]:
    given = plan.exit
    yield f"take profit {_percent(given.take_profit)} of the margin" if given.take_profit else "no take profit"
    yield f"stop at {_number(given.stop_price)}" if given.stop_price else "no stop price"
    yield f"expires {given.expires.isoformat()}" if given.expires else "never expires"


def _limits(limits: Limits) -> Iterator[str]:
    """All of them, those that are not set too."""
    drawdown, orders = limits.max_drawdown, limits.max_orders_per_day
    yield f"drawdown {_percent(drawdown)} of the highest equity" if drawdown else "no drawdown limit"
    yield f"loss {_usd(limits.max_loss_usd)} USD" if limits.max_loss_usd else "no loss limit"
    yield f"position {_usd(limits.max_position_usd)} USD" if limits.max_position_usd else "no position limit"
    yield f"leverage {limits.max_leverage}x" if limits.max_leverage else "no leverage limit but the market's"
    yield f"{orders} orders a day" if orders else "no limit of orders a day"


def _backstop(backstop: Backstop | None, seen: Preview) -> str:
    if backstop is None:
        return "none: nothing rests on the exchange"
    where = f"{_percent(backstop.beyond)} beyond the last level, at first at {_number(seen.backstop_price)}"
    return f"a stop rests on the exchange {where}"


def _levels(seen: Preview) -> Table:
    """What is done at each level, and what it costs."""
    has_levels = any(row.level_price is not None for row in seen.rows)
    table = _columns("line", *(["level at"] if has_levels else []), "order", "costs", "change")
    table.add_column("what", overflow="fold")
    for row in seen.rows:
        cells: list[str | Text] = [_number(row.price), *([_number(row.level_price)] if has_levels else [])]
        table.add_row(*cells, _order(row), _usd(row.fee_usd + row.slippage_usd), _change(row), row.what)
    return table


def _columns(*names: str) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _order(row: Row) -> Text:
    if not row.order:
        return Text("-", style="dim")
    return Text(f"{_signed(row.order)}", style="green" if row.order > 0 else "red")


def _change(row: Row) -> Text:
    return Text(f"{row.change_usd:+,.2f}", style="green" if row.change_usd >= 0 else "red")


def _picture(seen: Preview) -> Table:
    """What is held at each level, in figures and as shares of the book."""
    table = _columns("line", "long", "short", "cash", "equity")
    names = " ".join(f"{glyph} {name}" for name, glyph in GLYPHS.items())
    table.add_column(names, no_wrap=True)
    for row in seen.rows:
        parts = parts_of(row.long, row.short, row.short_entry, row.cash_usd, row.price)
        held = any(value for value, _ in parts.values())
        picture = bar(parts, PICTURE_WIDTH, GLYPHS) if held else Text("nothing", style="dim")
        figures = (_number(row.long), _number(row.short), _usd(row.cash_usd), _usd(row.equity_usd))
        table.add_row(_number(row.price), *figures, picture)
    return table


def _figures(seen: Preview) -> Table:
    table = _facts()
    table.add_row("worst loss", f"{_usd(seen.worst.loss_usd)} USD: {seen.worst.how}")
    liquidation = _number(seen.liquidation_price)
    table.add_row(
        "liquidation", f"at {liquidation}, were it never hedged" if seen.liquidation_price else "none of a long at 1x"
    )
    table.add_row(
        "costs", f"a round trip of one {seen.coin} costs {_number(seen.round_trip_usd)} USD in fees and slippage"
    )
    return table


def _number(number: Decimal | None) -> str:
    """Of a price or a quantity: eight digits tell them apart."""
    return "" if number is None else f"{plain(Decimal(f'{number:.8g}')):,f}"


def _signed(number: Decimal) -> str:
    return f"{'+' if number > 0 else ''}{_number(number)}"


def _usd(usd: Decimal | None) -> str:
    return "" if usd is None else f"{usd:,.2f}"


def _percent(share: Decimal | None) -> str:
    return "" if share is None else f"{plain(100 * share):f}%"
