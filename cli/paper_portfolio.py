"""The portfolio that `hypertrader up` opens on paper: three coins, a reserve and savings, in a scenario made for it."""

from dataclasses import dataclass
from decimal import Decimal

import typer
from rich.console import RenderableType

from cli import portfolios, trades
from cli.paper import control_of, fund_once, wait_until_followed
from cli.portfolio_commands import look
from cli.portfolio_screen import line, portfolio_screen
from cli.stack import Stack
from portfolio.terms import PortfolioTerms
from strategy.ladder import Ladder

NAME = "main"
SCENARIO = "three_coins"
LEVERAGE = 3


@dataclass(frozen=True)
class Share:
    of_all: Decimal
    unit_size: Decimal


SHARES = {
    "ETH": Share(Decimal("0.4"), Decimal(4)),
    "BTC": Share(Decimal("0.2"), Decimal(100)),
    "SOL": Share(Decimal("0.2"), Decimal("0.1")),
}
"""Units as the scenario has them: a cycle of each fits into its 90 seconds."""


async def open_or_go_on(stack: Stack, ladder: Ladder, started_s: float) -> None:
    """Prices are held until every trade is open and followed. A trade that has ended is not opened again."""
    control = control_of(stack)
    await control.hold_prices()
    if await portfolios.running(stack.client, NAME) is None:
        await fund_once(stack, Decimal(0))
        terms = PortfolioTerms(shares={coin: share.of_all for coin, share in SHARES.items()})
        await portfolios.begin(stack.client, NAME, terms, stack.settings)
        for coin, share in SHARES.items():
            await _open(stack, coin, share, ladder)
        typer.echo(
            "these prices are made so that ETH and BTC earn and SOL pays for its turns; on real ones both presets "
            "mostly lose: docs/backtesting.md"
        )
    else:
        typer.echo(f"portfolio {NAME} goes on where it was")
    for trade in await trades.trades(stack.client):
        await wait_until_followed(stack.client, control, trade.name, since_s=started_s)
    await control.let_prices_move()


async def _open(stack: Stack, coin: str, share: Share, ladder: Ladder) -> None:
    opened = await trades.start_trade(
        coin,
        None,
        share.unit_size,
        portfolio=NAME,
        leverage=LEVERAGE,
        ladder=ladder,
        # Small units, so that a cycle is seen within minutes: what they cost is said, not refused.
        yes=True,
        settings=stack.settings,
        client=stack.client,
    )
    held = opened.ledger.long if opened.ledger else Decimal(0)
    typer.echo(f"opened {held:f} {coin} at {opened.anchor_price or 0:f}: {opened.margin_usd:f} USD at {LEVERAGE}x")


async def picture(stack: Stack) -> tuple[RenderableType, str]:
    """How it stands, on a screen and on a line."""
    seen, found, due = await look(stack.client, NAME)
    return portfolio_screen(seen, found, due), line(seen, found)
