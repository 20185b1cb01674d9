"""`hypertrader plan start|edit|stop`: the trade of a plan."""

import os
import shlex
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from temporalio.client import Client

from cli import screen, trades
from cli.common import AsJson, console, echo_json, run, settings
from cli.errors import CommandFailed, CommandRefused
from cli.plan_commands import PlanName, Version, group, plan_named, store_of
from cli.trade_commands import with_client
from plans.files import dumped, read_plan
from plans.plan import TradingPlan
from workflows.asked import Close

Reason = Annotated[str, typer.Option(help="Kept in the journal.")]


def register(app: typer.Typer) -> None:
    """The whole group, with what `cli.plan_commands` has in it."""
    app.add_typer(group, name="plan")


@group.command()
def start(
    plan: PlanName,
    version: Version = None,
    name: Annotated[
        str | None, typer.Option("--as", help="Of one more trade on the coin: it is called COIN-NAME.", metavar="NAME")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Open the trade of a plan, or have it wait for its entry."""
    chosen, asked = settings(), plan_named(plan, version)
    # What runs is kept: a file may change or go.
    kept = store_of(chosen, make=True).save(asked) if version is None else asked
    seen = run(with_client(lambda client: trades.start_plan(client, kept, chosen, name)))
    if as_json:
        echo_json(seen)
    else:
        console.print(screen.screen(seen, None))


@group.command()
def edit(plan: PlanName, reason: Reason = "", as_json: AsJson = False) -> None:
    """A new version, from a file or your editor; the trade that runs by the plan follows it, or says why it can't."""
    chosen = settings()
    store = store_of(chosen, make=True)
    asked = plan_named(plan, None)
    if asked.name == plan:
        asked = _by_hand(asked)
    known = store.versions(asked.name)
    former = store.read(asked.name) if known else asked
    running = run(with_client(lambda client: _trade_of(client, former)))
    # Kept before it is sent: the trade may follow it though its answer never arrives.
    kept = store.save(asked)
    if running is None:
        answer = f"plan {kept.name} is kept as version {kept.version}; no trade runs by it"
    else:
        try:
            answer = run(with_client(lambda client: trades.edit_plan(client, running, kept, chosen, reason)))
        except CommandRefused:
            if kept.version not in known:
                store.withdraw(kept)
            raise
        except CommandFailed as error:
            raise CommandFailed(
                f"{error}; version {kept.version} is kept: `hypertrader trade status {running}` tells whether "
                "it is followed"
            ) from error
    if as_json:
        echo_json({"plan": kept.name, "version": kept.version, "answer": answer})
    else:
        typer.echo(answer)


@group.command()
def stop(plan: PlanName, reason: Reason = "") -> None:
    """Close the trade that runs by a plan, or end its wait; answers when the exchange is flat."""
    asked = plan_named(plan, None)

    async def close(client: Client) -> str:
        running = await _trade_of(client, asked)
        if running is None:
            raise CommandFailed(f"no trade runs by plan {asked.name}")
        return await trades.command(client, running, "close", Close(reason=reason))

    typer.echo(run(with_client(close)))


async def _trade_of(client: Client, plan: TradingPlan) -> str | None:
    """What the running trade is called that follows a version of the plan."""
    if await _follows(client, plan.coin, plan):
        return plan.coin
    for name in sorted(await trades.names_running(client)):
        if name.startswith(f"{plan.coin}-") and await _follows(client, name, plan):
            return name
    return None


async def _follows(client: Client, trade: str, plan: TradingPlan) -> bool:
    if not await trades.is_running(client, trade):
        return False
    asked = (await trades.any_status(client, trade)).input
    return asked is not None and asked.plan is not None and asked.plan.name == plan.name


def _by_hand(plan: TradingPlan) -> TradingPlan:
    with TemporaryDirectory() as folder:
        draft = Path(folder) / f"{plan.name}.yaml"
        draft.write_text(dumped(plan), "utf-8")
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
        try:
            subprocess.run([*shlex.split(editor), str(draft)], check=True)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            raise CommandFailed(f"EDITOR is {editor}: {error}; set it, or give a file") from error
        edited = read_plan(draft)
    if edited.name != plan.name:
        raise CommandFailed(f"name is {edited.name}; a version of plan {plan.name} keeps its name")
    if edited == plan:
        raise CommandFailed(f"nothing was changed in plan {plan.name}")
    return edited
