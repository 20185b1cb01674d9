"""`hypertrader explain`: why a backtest did what it did."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from backtest.explain import explanation, moment
from backtest.journal_lines import BadJournalError, decisions_at, lines_of, read_journal
from backtest.options import BadOptionError, read_moment, read_size


def register(app: typer.Typer) -> None:
    """Add the command to the `hypertrader` app."""
    app.command("explain")(explain)


def explain(
    journal: Annotated[Path, typer.Argument(help="What `backtest --journal` wrote.")],
    at: Annotated[
        str, typer.Option(help="When: 2025-06-01T12:00, or milliseconds since 1970, UTC; required.", show_default=False)
    ] = "",
    unit_size: Annotated[
        str, typer.Option(help="USD to a unit, where the journal is too short to tell.", show_default=False)
    ] = "",
) -> None:
    """Say in words what was decided at a time, or last before it: the lines, the step, the ledger before and after."""
    try:
        time_ms = read_moment("at", at)
        size: Decimal | None = read_size("unit-size", unit_size) if unit_size else None
        lines = read_journal(journal)
        found = decisions_at(lines, time_ms)
        if not found:
            raise BadOptionError(
                f"--at is {at}; the first decision is at {moment(lines[0].ts)} UTC, before it the trade was opened"
            )
    except (BadOptionError, BadJournalError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    if lines[found[0]].ts != time_ms:
        typer.echo("Nothing was decided at that time. The last decision before it:\n")
    grid = lines_of(lines, size)
    typer.echo("\n\n".join(explanation(lines, index, grid) for index in found))
