"""`hypertrader up`: everything on this machine, a paper portfolio in a scenario, and a screen to watch it on."""

import asyncio
import shlex
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from typing import Annotated, Any

import typer

from cli import paper_portfolio, trades
from cli.common import decimal_option, ladder_option, run, settings
from cli.errors import CommandFailed
from cli.paper import control_of, fund_once, wait_until_followed
from cli.ports import Ports
from cli.process_commands import set_up_logs
from cli.stack import Stack
from cli.venue import Venue
from cli.watch import follow, on_interrupt, watch
from settings import Network, Settings
from strategy.ladder import Ladder
from workflows.status import TradeStatus

PORT_OPTIONS = {
    "temporal": "--temporal-port",
    "ui": "--ui-port",
    "exchange": "--exchange-port",
    "control": "--control-port",
    "temporal_http": "--temporal-http-port",
    "temporal_metrics": "--temporal-metrics-port",
}
Show = Callable[[asyncio.Event], Awaitable[None]]
"""Until the event is set."""
Begin = Callable[[Stack, float], Awaitable[Show | None]]
"""Opens what is to run or goes on with what is there, and says what is shown; the time is when this stack started."""
_PORTS = Ports()
ROUND_TRIP = 2 * Decimal("0.00055")
"""Of the price: a taker's fee of 4.5 bps and a slippage of 1 bps, to sell and to buy back."""


def register(app: typer.Typer) -> None:
    app.command("up")(up)


def up(
    scenario: Annotated[
        str | None, typer.Option(help="Prices of the simulator: a file, three_coins or full_cycle.")
    ] = None,
    coin: Annotated[str | None, typer.Option(help="One paper trade, on this coin, and no portfolio.")] = None,
    margin: Annotated[str, typer.Option(help="Given to the trade, USD.")] = "1000",
    unit_size: Annotated[str, typer.Option(help="USD per coin.")] = "2",
    leverage: Annotated[int | None, typer.Option(help="The market's maximum when not given.")] = None,
    preset: Annotated[str, typer.Option(help="v6, v7, or a YAML or JSON file with a ladder.")] = "v6",
    speed: Annotated[float, typer.Option(help="How much faster than real time prices run.")] = 1.0,
    no_trade: Annotated[bool, typer.Option("--no-trade", help="Open none: for `recover`, or one of your own.")] = False,
    no_watch: Annotated[
        bool, typer.Option("--no-watch", help="Print where things are, and keep them running.")
    ] = False,
    temporal_port: Annotated[int, typer.Option(help="Temporal's gRPC.")] = _PORTS.temporal,
    ui_port: Annotated[int, typer.Option(help="Temporal's Web UI.")] = _PORTS.ui,
    exchange_port: Annotated[int, typer.Option(help="The simulator.")] = _PORTS.exchange,
    control_port: Annotated[int, typer.Option(help="The simulator's control API.")] = _PORTS.control,
    temporal_http_port: Annotated[int, typer.Option(help="Temporal's HTTP API.")] = _PORTS.temporal_http,
    temporal_metrics_port: Annotated[int, typer.Option(help="Temporal's metrics.")] = _PORTS.temporal_metrics,
) -> None:
    """Start Temporal, the simulator, worker and feed; open a portfolio of three coins on paper, or go on with what
    there is; show it.

    Ctrl-C stops everything, and the next `up` goes on from there. On testnet and mainnet there is no simulator, and no
    trade is opened. --margin, --unit-size and --leverage are those of the one trade on --coin.
    """
    chosen = settings()
    set_up_logs(chosen.log_level)
    ports = Ports(temporal_port, ui_port, exchange_port, control_port, temporal_http_port, temporal_metrics_port)
    ports.check_free(PORT_OPTIONS)
    ladder = ladder_option(preset)
    asked = {
        "margin": decimal_option("--margin", margin),
        "unit_size": decimal_option("--unit-size", unit_size),
        "leverage": leverage,
        "ladder": ladder,
    }
    options = [
        "--scenario",
        scenario or (paper_portfolio.SCENARIO if coin is None else "full_cycle"),
        "--speed",
        str(speed),
        "--paused",
    ]
    stack = Stack(chosen, ports, simulator_options=options)
    begin: Begin
    if no_trade or chosen.network is not Network.PAPER:
        begin = _go_on
    elif coin is not None:
        begin = partial(_one_trade, symbol=coin, asked=asked)
    else:
        begin = partial(_portfolio, ladder=ladder)
    run(_up(stack, begin, watching=not no_watch))


async def _up(stack: Stack, begin: Begin, *, watching: bool) -> None:
    stop, started_s = on_interrupt(), time.time()
    typer.echo(f"network {stack.settings.network.value}, state in {stack.settings.state_dir}")
    starting = asyncio.create_task(stack.start())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return
    stopping.cancel()
    await starting
    try:
        typer.echo(f"Temporal Web UI {stack.web_url}")
        typer.echo(f"logs in {stack.logs}; Ctrl-C stops, `hypertrader up` goes on")
        if needed := what_other_commands_need(stack.settings):
            typer.echo(f"for other commands: {needed}")
        show = await begin(stack, started_s)
        if watching and show is not None:
            await show(stop)
        await stop.wait()
    finally:
        typer.echo("stopping: everything is kept for the next `hypertrader up`")
        await _hold_prices(stack)
        await stack.stop()


async def _portfolio(stack: Stack, started_s: float, *, ladder: Ladder) -> Show:
    """Of three coins. Prices are held until its trades are open and followed."""
    await paper_portfolio.open_or_go_on(stack, ladder, started_s)
    return partial(follow, partial(paper_portfolio.picture, stack))


async def _one_trade(stack: Stack, started_s: float, *, symbol: str, asked: dict[str, Any]) -> Show:
    """Prices are held until it is open and followed."""
    control = control_of(stack)
    await control.hold_prices()
    async with Venue(stack.settings) as venue:
        coin = await venue.coin_of(symbol)
    if await trades.is_running(stack.client, coin):
        typer.echo(f"the trade on {coin} goes on where it was")
        seen = await trades.status(stack.client, coin)
    else:
        await fund_once(stack, asked["margin"])
        seen = await _open(stack, coin, asked)
    if seen.anchor_price and seen.unit_size < ROUND_TRIP * seen.anchor_price:
        typer.echo(
            f"units of {seen.unit_size:f} USD are smaller than the costs of a round trip, so that a cycle fits into "
            f"minutes: a trade like this bleeds"
        )
    for trade in await trades.trades(stack.client):
        await wait_until_followed(stack.client, control, trade.name, since_s=started_s)
    await control.let_prices_move()
    return _of_trade(stack, coin)


async def _go_on(stack: Stack, _: float) -> Show | None:
    """Nothing is opened by itself."""
    if stack.control is not None:
        await stack.control.let_prices_move()
    running = await trades.trades(stack.client)
    if not running:
        typer.echo("no trade runs: open one with `hypertrader trade start`")
        return None
    return _of_trade(stack, running[0].name)


def _of_trade(stack: Stack, trade: str) -> Show:
    async def show(stop: asyncio.Event) -> None:
        await watch(stack.client, trade, stack.settings, stop, web_url=stack.web_url, next_too=True)

    return show


async def _open(stack: Stack, coin: str, asked: dict[str, Any]) -> TradeStatus:
    # Paper money, and small units so that a cycle is seen within minutes: what they cost is said, not refused.
    opened = await trades.start_trade(coin, **asked, yes=True, settings=stack.settings, client=stack.client)
    held: Decimal = opened.ledger.long if opened.ledger else Decimal(0)
    typer.echo(
        f"opened a paper trade: {held:f} {coin} at {opened.anchor_price or 0:.2f}, {opened.margin_usd:f} USD of margin "
        f"at {opened.leverage}x, units of {opened.unit_size:f} USD"
    )
    return opened


def what_other_commands_need(used: Settings) -> str | None:
    """The line of a shell that points them at this stack; None when they find it by themselves."""
    usual = Settings()
    usual = usual.model_copy(update={"state_dir": usual.state_dir.absolute()})
    names = ("network", "state_dir", "temporal_address", "exchange_url")
    other = {name: str(getattr(used, name)) for name in names if getattr(used, name) != getattr(usual, name)}
    if not other:
        return None
    return " ".join(["export", *(f"HYPERTRADER_{name.upper()}={shlex.quote(value)}" for name, value in other.items())])


async def _hold_prices(stack: Stack) -> None:
    """Where the path stands when we stop is where it goes on."""
    if stack.control is None:
        return
    try:
        await stack.control.hold_prices()
    except CommandFailed as error:
        typer.echo(f"note: {error}", err=True)
