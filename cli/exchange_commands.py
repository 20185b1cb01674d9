"""`hypertrader exchange`: the account by hand. What a trade holds is better closed by the trade."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Annotated, TypeVar

import typer
from pydantic import BaseModel
from rich.table import Table

from cli.common import AsJson, Coin, console, decimal_option, echo_json, make_state_dir, run, settings
from cli.errors import CommandFailed
from exchange.gateway import HyperliquidGateway
from exchange.network import load_key
from exchange.port import OrderOutcome, OutcomeStatus, Side

T = TypeVar("T")

Size = Annotated[str, typer.Argument(help="In coin; rounded down to the lot.")]

group = typer.Typer(help="The account by hand: position, balance, market orders.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="exchange")


@group.command()
def position(coin: Coin, as_json: AsJson = False) -> None:
    """The net position in a coin; size 0 when flat."""
    _show(run(_with_gateway(lambda gateway: gateway.get_position(coin))), as_json)


@group.command()
def balance(currency: Annotated[str, typer.Argument()] = "USDC", as_json: AsJson = False) -> None:
    """Margin of the perpetuals account, in USD."""
    _show(run(_with_gateway(lambda gateway: gateway.get_balance(currency))), as_json)


@group.command()
def buy(coin: Coin, size: Size, as_json: AsJson = False) -> None:
    """Buy at the market."""
    _order(coin, Side.BUY, size, as_json)


@group.command()
def sell(coin: Coin, size: Size, as_json: AsJson = False) -> None:
    """Sell at the market."""
    _order(coin, Side.SELL, size, as_json)


@group.command()
def close(coin: Coin, as_json: AsJson = False) -> None:
    """Close the whole position in a coin at the market."""

    async def close_it(gateway: HyperliquidGateway) -> tuple[Decimal, OrderOutcome | None]:
        held = abs((await gateway.get_position(coin)).size)
        return held, await gateway.close_position(coin)

    held, outcome = run(_with_gateway(close_it))
    if outcome is None:
        typer.echo("null" if as_json else f"nothing is held in {coin}")
        return
    _show_outcome(outcome, held, as_json)


def _order(coin: str, side: Side, size: str, as_json: bool) -> None:
    quantity = decimal_option("SIZE", size)
    outcome = run(_with_gateway(lambda gateway: gateway.place_market_order(coin, side, quantity)))
    _show_outcome(outcome, quantity, as_json)


async def _with_gateway(work: Callable[[HyperliquidGateway], Awaitable[T]]) -> T:
    chosen = settings()
    make_state_dir(chosen)
    gateway = HyperliquidGateway.connect(chosen, key=load_key(chosen))
    try:
        return await work(gateway)
    finally:
        await gateway.close()


def _show_outcome(outcome: OrderOutcome, asked: Decimal, as_json: bool) -> None:
    if as_json:
        echo_json(outcome)
    elif outcome.average_price is not None:
        typer.echo(f"filled {outcome.filled_size:+f} at {outcome.average_price:f}, fee {outcome.fee_usd:f} USD")
        if missing := asked - abs(outcome.filled_size):
            typer.echo(
                f"not filled: {missing:f} of {asked:f}; the book had no more within the slippage allowed, or it is "
                f"less than a lot"
            )
    if outcome.status is not OutcomeStatus.FILLED:
        raise CommandFailed(
            f"the order was {outcome.status.value.replace('_', ' ')}: {outcome.text or 'no reason given'}"
        )


def _show(value: BaseModel, as_json: bool) -> None:
    if as_json:
        echo_json(value)
        return
    table = Table(box=None, show_header=False)
    for name, field in value.model_dump(mode="json").items():
        table.add_row(name.replace("_", " "), "-" if field is None else str(field))
    console.print(table)
