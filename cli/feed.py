"""`hypertrader feed`: the feed process, and `feed prices` to look at what it sees."""

import typer

from cli.common import Coin, run, settings
from cli.process_commands import set_up_logs


def register(app: typer.Typer) -> None:
    """Add the group to the `hypertrader` app."""
    group = typer.Typer(help="Follow prices and signal completed units to the trades.", invoke_without_command=True)
    group.callback()(process)
    group.command("prices")(prices)
    app.add_typer(group, name="feed")


def process(context: typer.Context) -> None:
    """Follow prices until SIGTERM or Ctrl-C. Any number of feed processes share the trades among each other."""
    if context.invoked_subcommand is not None:
        return
    # It brings Temporal's SDK along, which `feed prices` does without.
    import feed.worker

    chosen = settings()
    set_up_logs(chosen.log_level)
    typer.echo(f"network {chosen.network.value}")
    run(feed.worker.run(chosen))


def prices(coin: Coin) -> None:
    """Print every trade's time (UTC) and price, through all disconnects, until Ctrl-C."""
    from feed.prices import print_prices

    chosen = settings()
    set_up_logs(chosen.log_level)
    run(print_prices(coin.split("/")[0], chosen))
