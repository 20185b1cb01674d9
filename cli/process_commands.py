"""`hypertrader worker` and `hypertrader simulator`: the long-running processes that are not the feed."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from cli.common import decimal_option, make_state_dir, run, settings
from cli.errors import BadOption, CommandFailed
from cli.ports import Ports
from settings import WEIGHT_PER_MINUTE
from telemetry import logs


def register(app: typer.Typer) -> None:
    app.command("worker")(worker)
    app.command("simulator")(simulator)


def worker() -> None:
    """Run trades: workflows, orders, journal. Until SIGTERM or Ctrl-C. Any number of them share the work."""
    # The simulator's process has no need of all this.
    import worker as worker_process

    chosen = settings()
    set_up_logs(chosen.log_level)
    make_state_dir(chosen)
    typer.echo(f"network {chosen.network.value}")
    run(worker_process.run(chosen))


def simulator(
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Of the exchange; 0 for any.")] = Ports.exchange,
    control_port: Annotated[
        int, typer.Option(help="Of the control API, on the same address; 0 for any.")
    ] = Ports.control,
    scenario: Annotated[str | None, typer.Option(help="A path of prices: a file, or full_cycle (the default).")] = None,
    recording: Annotated[Path | None, typer.Option(help="CSV or Parquet of ts,price; with --coin.")] = None,
    coin: Annotated[str | None, typer.Option(help="The recording's coin.")] = None,
    random_walk: Annotated[int | None, typer.Option(help="Seed of a random walk.")] = None,
    mirror: Annotated[str | None, typer.Option(help="`mainnet`: follow the real exchange's public prices.")] = None,
    still: Annotated[bool, typer.Option("--still", help="Prices move by the control API only.")] = False,
    speed: Annotated[float, typer.Option(help="How much faster than real time prices run.")] = 1.0,
    paused: Annotated[bool, typer.Option("--paused", help="Hold a new path until the control API lets it go.")] = False,
    fund: Annotated[list[str] | None, typer.Option(help="ADDRESS=USD, deposited when it is seen first.")] = None,
    funding: Annotated[
        str | None,
        typer.Option(help="Each hour: a rate, FILE, COIN=FILE or none. As on the exchange; with --still none."),
    ] = None,
    fault_seed: Annotated[int, typer.Option(help="Of the chance by which faults strike.")] = 0,
    more_coins: Annotated[int, typer.Option(min=0, max=1000, help="Made-up coins beside the usual ones.")] = 0,
    in_memory: Annotated[bool, typer.Option("--in-memory", help="Keep nothing.")] = False,
) -> None:
    """A Hyperliquid on this machine: its real protocol, made-up money. State is kept in the state folder."""
    from simulator import main as simulator_process
    from simulator.config import SimulatorConfig
    from simulator.funding_rates import USUAL_RATE, FundingError, funding_rates
    from simulator.listings import list_more
    from simulator.sources import PriceSpec, price_source

    chosen = settings()
    set_up_logs(chosen.log_level)
    if not in_memory:
        make_state_dir(chosen)
    list_more(more_coins)
    spec = PriceSpec(scenario=scenario, recording=recording, coin=coin, random_walk=random_walk, mirror=mirror)
    try:
        config = SimulatorConfig(
            host=host,
            port=port,
            control_port=control_port,
            state_dir=None if in_memory else chosen.state_dir,
            log_file=None if in_memory else chosen.state_dir / "logs" / "exchange.jsonl",
            price_source=None if still else lambda clock: price_source(spec, clock),
            speed=speed,
            paused=paused,
            funding=funding_rates(funding or ("none" if still else USUAL_RATE)),
            fault_seed=fault_seed,
            weight_per_minute=WEIGHT_PER_MINUTE if chosen.paper_limits else None,
            funded=dict(_deposit(text) for text in fund or ()),
        )
    except ValidationError as error:
        detail = error.errors()[0]
        option = "--" + str(detail["loc"][0]).replace("_", "-")
        raise BadOption(f"{option} is {detail['input']}: {detail['msg']}") from None
    except FundingError as error:
        raise BadOption(f"--funding: {error}") from None
    try:
        simulator_process.run(config)
    except OSError as error:
        raise CommandFailed(
            f"the simulator can't listen at {host}: {error.strerror or error}; choose other ports"
        ) from error


def set_up_logs(level: str) -> None:
    try:
        logs.setup(level)
    except ValueError as error:
        raise BadOption(f"{error} (HYPERTRADER_LOG_LEVEL)") from None


def _deposit(text: str) -> tuple[str, Decimal]:
    address, separator, usd = text.partition("=")
    if not separator:
        raise BadOption(f"--fund is {text}: ADDRESS=USD is allowed")
    return address, decimal_option("--fund", usd)
