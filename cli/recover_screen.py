"""What `hypertrader recover` found, as a person reads it."""

from collections.abc import Iterator

from rich.table import Table

from cli.common import console
from cli.history import utc
from cli.rebuilt import Goes, RebuiltPortfolio, Survey
from journal.engine import parse_url
from settings import Settings
from strategy.values import ZERO, plain

WORDS = {
    Goes.ON: "goes on",
    Goes.TO_ATTENTION: "needs you",
    Goes.NOWHERE: "can't be rebuilt",
    Goes.ALREADY: "runs already",
}


def show(done: Survey, chosen: Settings) -> None:
    if done.portfolios:
        console.print(_portfolios(done))
    for portfolio in done.portfolios:
        for line in _told_of(portfolio):
            console.print(f"{portfolio.workflow_id}: {line}", soft_wrap=True)
        console.print()
    if done.trades:
        console.print(_table(done))
    else:
        url = parse_url(chosen.journal).render_as_string(hide_password=True)
        console.print(f"{url} has no open trade of account {done.account} on {done.network}")
    for trade in done.trades:
        for line in [*trade.unresolved, trade.why]:
            if line:
                console.print(f"{trade.workflow_id}: {line}", soft_wrap=True)
    for each in done.unexplained:
        console.print(
            f"{each.coin}: the exchange holds {plain(each.size):f}, and no trade that goes on explains it "
            f"(hypertrader exchange position {each.coin})",
            soft_wrap=True,
        )
    if started := [each.workflow_id for each in (*done.portfolios, *done.trades) if each.started]:
        console.print(f"\nstarted: {', '.join(started)}; each trade looks at the exchange before it orders anything")


def _portfolios(done: Survey) -> Table:
    table = Table(box=None, header_style="dim")
    table.add_column("portfolio")
    table.add_column("as of (UTC)")
    for name in ("equity", "high", "put aside", "owed", "on spot"):
        table.add_column(name, justify="right")
    table.add_column("")
    for each in done.portfolios:
        owed, on_spot = (sum(usd.values(), ZERO) for usd in (each.owed, each.spot_usd))
        figures = (each.equity_usd, each.high_water_usd, each.reserve_usd, owed, on_spot)
        table.add_row(
            each.workflow_id,
            utc(each.as_of_ms),
            *("-" if each.reserve_usd is None or usd is None else f"{usd:,.2f}" for usd in figures),
            WORDS[each.goes],
        )
    return table


def _told_of(portfolio: RebuiltPortfolio) -> Iterator[str]:
    if portfolio.why:
        yield portfolio.why
    if portfolio.stopped:
        yield f"everything is stopped, and stays so: {portfolio.stopped}"
    for text in portfolio.held_back:
        yield f"held back: {text}"
    if portfolio.purchase:
        yield f"on its way: {portfolio.purchase}"
    for trade, usd in portfolio.free_again.items():
        yield f"{trade} does not go on: the {plain(usd):f} USD it was given are free again"
    if portfolio.goes is Goes.ON:
        name = f" --name {portfolio.name}" if portfolio.name != "main" else ""
        yield (
            "a time at which it was rebalanced by itself is lost with Temporal: "
            f'hypertrader portfolio schedule weekly --at "mon 06:00"{name}'
        )


def _table(done: Survey) -> Table:
    table = Table(box=None, header_style="dim")
    for name in ("trade", "as of (UTC)", "mode", "phase", "unit", "cycle", "long", "short", "net", "exchange", ""):
        table.add_column(
            name, justify="right" if name in ("unit", "cycle", "long", "short", "net", "exchange") else "left"
        )
    for trade in done.trades:
        sizes = (trade.long, trade.short, trade.net, trade.held)
        table.add_row(
            trade.workflow_id,
            utc(trade.as_of_ms),
            trade.mode or "-",
            trade.phase or "-",
            *("-" if count is None else str(count) for count in (trade.unit, trade.cycle)),
            *("-" if size is None else f"{plain(size):f}" for size in sizes),
            WORDS[trade.goes],
        )
    return table
