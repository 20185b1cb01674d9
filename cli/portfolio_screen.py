"""How a portfolio looks in a terminal: pure, from its status and what its trades say of themselves."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from activities.messages import TradeSummary
from cli.history import utc
from cli.screen import PHASE_STYLE, WIDTH
from portfolio.rebalance import Resize
from portfolio.risk import Exposure
from portfolio.terms import PortfolioLimits
from strategy.values import ONE, ZERO, plain
from workflows.portfolio.status import PortfolioStatus

BAR_WIDTH = 27
CENTS_BELOW_USD = 10_000
NOTES_STYLE = "yellow"
ALARM_STYLE = "bold white on red"

Trades = Mapping[str, TradeSummary]


def portfolio_screen(seen: PortfolioStatus, trades: Trades, next_time: datetime | None) -> RenderableType:
    """The whole picture; `next_time` is when it is rebalanced by itself."""
    parts: list[RenderableType] = [_headline(seen, trades), _drawdown(seen), Text(), _coins(seen, trades), Text()]
    parts += [_facts(seen, next_time), *_alarms(seen, trades)]
    parts += [Text(f"note: {note}", style=NOTES_STYLE) for note in seen.notes]
    title = f"portfolio {seen.name} · {seen.network} · {seen.account[:6]}…{seen.account[-4:]}"
    return Panel(Group(*parts), title=title, title_align="left", padding=(1, 2), width=WIDTH)


def line(seen: PortfolioStatus, trades: Trades) -> str:
    """The same on one line, for logs and pipes."""
    parts = [
        f"{seen.name} equity {_usd(seen.equity_usd)} drawdown {_percent(seen.drawdown)} of "
        f"{_percent(seen.terms.limits.max_drawdown)}"
    ]
    for coin in seen.coins:
        parts += [f"{coin.coin} {_words(trades.get(trade))}" for trade in coin.trades]
    parts += [text.plain for text in _alarms(seen, trades)]
    return " | ".join(parts)


def _words(trade: TradeSummary | None) -> str:
    return "does not answer" if trade is None else f"{_phase(trade)} {_usd(trade.pnl_usd, '+')}"


def _headline(seen: PortfolioStatus, trades: Trades) -> Text:
    text = Text.assemble(("equity ", "dim"), (_usd(seen.equity_usd), "bold"))
    text.append("   high ", style="dim").append(_usd(seen.high_water_usd))
    net_usd, gross_usd = _notional(seen.exposure, trades)
    text.append("   net exposure ", style="dim").append(_usd(net_usd, "+"))
    if seen.equity_usd > 0:
        text.append(f"   {gross_usd / seen.equity_usd:.1f}x", style="dim")
    return text


def _notional(exposure: Exposure | None, trades: Trades) -> tuple[Decimal, Decimal]:
    """Net and gross, of the whole account; of the trades alone until it was looked at."""
    if exposure is not None:
        each = list(exposure.net_notional_usd.values())
    else:
        each = [trade.net_size * (trade.price or ZERO) for trade in trades.values()]
    return sum(each, ZERO), sum(map(abs, each), ZERO)


def _drawdown(seen: PortfolioStatus) -> Text:
    limits, drawdown = seen.terms.limits, seen.drawdown
    text = Text.assemble(("drawdown ", "dim"), (f"{_percent(drawdown):>6} ", _drawdown_style(limits, drawdown)))
    full = min(drawdown / limits.max_drawdown, ONE)
    marks = {round(BAR_WIDTH * share) for share in limits.warn_at}
    for cell in range(BAR_WIDTH):
        reached = cell < round(BAR_WIDTH * full)
        text.append(
            "█" if reached else "┊" if cell in marks else "░",
            style=_drawdown_style(limits, drawdown) if reached else "dim",
        )
    text.append(f" {_percent(limits.max_drawdown)}", style="bold")
    warned = ", ".join(_percent(share * limits.max_drawdown) for share in limits.warn_at)
    return text.append(f"  warns at {warned}" if warned else "", style="dim")


def _drawdown_style(limits: PortfolioLimits, drawdown: Decimal) -> str:
    if drawdown >= limits.max_drawdown:
        return "bold red"
    return NOTES_STYLE if limits.warn_at and drawdown >= limits.warn_at[0] * limits.max_drawdown else "green"


def _coins(seen: PortfolioStatus, trades: Trades) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("coin", "share", "target", "given", "worth", "P/L", "phase", ""):
        table.add_column(name, justify="left" if name in ("coin", "phase", "") else "right", no_wrap=True)
    for coin in seen.coins:
        share = "-" if coin.share is None else _percent(coin.share)
        cells: tuple[str | Text, ...] = (Text(coin.coin, style="bold"), share, _short(coin.target_usd))
        leaves = "leaves" if coin.leaving else ""
        if not coin.trades:
            table.add_row(*cells, "-", "", "", Text("no trade", style="dim"), Text(leaves, style=NOTES_STYLE))
        for trade, given_usd in coin.trades.items():
            mark = Text(leaves or ("resizes" if trade in seen.waiting else ""), style=NOTES_STYLE)
            table.add_row(*cells, _short(given_usd), *_trade_cells(trades.get(trade)), mark)
            cells = ("", "", "")
    return table


def _trade_cells(trade: TradeSummary | None) -> tuple[str | Text, ...]:
    if trade is None:
        return "", "", Text("no answer", style="red")
    phase = Text(_phase(trade), style=PHASE_STYLE.get(trade.phase or "", "bold magenta"))
    style = "green" if trade.pnl_usd >= 0 else "red"
    return _short(trade.equity_usd), Text(_short(trade.pnl_usd, "+"), style=style), phase


def _phase(trade: TradeSummary) -> str:
    """With the unit."""
    return f"{trade.phase or trade.mode} {trade.unit:+d}" if trade.mode == "trading" else trade.mode.upper()


def _facts(seen: PortfolioStatus, next_time: datetime | None) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    terms = seen.terms
    table.add_row("reserve", f"{_usd(seen.reserve_usd)} USD, {_percent(terms.reserve_share)} at least")
    split = terms.split
    shares = f"{_percent(split.trade)} to the trade, {_percent(split.reserve)} aside, {_percent(split.savings)} saved"
    table.add_row("profit", f"{shares}; {terms.compounding.value} compounding")
    for words in _savings(seen):
        table.add_row("savings", words)
    band = f"band {_percent(terms.band)}"
    due = f"{next_time:%a %Y-%m-%d %H:%M} UTC" if next_time else "by hand: `portfolio schedule` sets a time"
    table.add_row("rebalance", f"{due}; {band}" + (f", last {utc(seen.rebalanced_ms)}" if seen.rebalanced_ms else ""))
    table.add_row("as of", utc(seen.looked_ms) if seen.looked_ms else "its beginning; the account is looked at")
    return table


def _savings(seen: PortfolioStatus) -> Iterator[str]:
    for coin in sorted({each.coin for each in seen.saved}):
        bought = [each for each in seen.saved if each.coin == coin]
        size, usd = sum((each.size for each in bought), ZERO), sum((each.usd for each in bought), ZERO)
        yield f"{plain(size):f} {coin} for {_usd(usd)} USD, last {utc(bought[-1].at_ms)}"
    for coin, usd in seen.book.owed.items():
        yield f"{_usd(usd)} USD owed, to become {coin}"
    for coin, usd in seen.spot_usd.items():
        yield f"{_usd(usd)} USD on the spot side, to buy {coin}"
    if seen.savings_trouble:
        yield f"they wait: {seen.savings_trouble}"


def _alarms(seen: PortfolioStatus, trades: Trades) -> Iterator[Text]:
    if (latch := seen.latch) is not None:
        state = f"everything is flat, {latch.proof.words}" if latch.proof else latch.trouble or "it is being stopped"
        yield Text(f"STOPPED since {utc(latch.since_ms)}: {latch.reason}; {state}", style=ALARM_STYLE)
    for held in seen.held_back:
        yield Text(f"HELD BACK since {utc(held.since_ms)}: {held.text}", style=ALARM_STYLE)
    for trade in trades.values():
        if trade.attention:
            yield Text(f"ATTENTION {trade.coin}: {trade.attention}", style=ALARM_STYLE)


def changes_table(found: Sequence[tuple[str, str, str]]) -> Table:
    """Field, before, after."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    for field, before, after in found:
        sign = "+" if not before else "-" if not after else "~"
        words = Text.assemble((before, "red"), (" -> " if before and after else "", "dim"), (after, "green"))
        table.add_row(Text(sign, style={"+": "green", "-": "red", "~": NOTES_STYLE}[sign]), field, words)
    return table


def plan_table(found: Sequence[Resize], trades: Trades, *, now: bool) -> Table:
    """What a rebalance would make of each trade, those that shrink first."""
    table = Table("coin", "trade", "worth", "is to be", "change", "when", box=None, header_style="dim", pad_edge=False)
    for each in found:
        change = each.to_usd - each.from_usd
        waits = not now and not trades[each.trade].fully_long
        when = "when 100% long again" if waits else "at once"
        style = "green" if change > 0 else "red"
        cells = (each.coin, each.trade, _usd(each.from_usd), _usd(each.to_usd))
        table.add_row(*cells, Text(_usd(change, "+"), style=style), when)
    return table


def _usd(usd: Decimal, sign: str = "") -> str:
    return f"{usd:{sign},.2f}"


def _short(usd: Decimal, sign: str = "") -> str:
    """Without cents where they say nothing."""
    return f"{usd:{sign},.2f}" if abs(usd) < CENTS_BELOW_USD else f"{usd:{sign},.0f}"


def _percent(share: Decimal) -> str:
    return f"{plain(Decimal(f'{100 * share:.4g}')):f}%"
