"""What every command needs: the settings, exact numbers from options, and a loop to run in."""

import asyncio
import json
import sys
from collections.abc import Coroutine, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel, TypeAdapter, ValidationError
from rich.console import Console

from cli.errors import BadOption
from plans.plan import Moment
from settings import Settings
from strategy.ladder import Ladder

T = TypeVar("T")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON; numbers are strings, exact to the last digit.")]
Coin = Annotated[str, typer.Argument(help="ETH and ETH/USDC:USDC name the same.", metavar="COIN")]
Trade = Annotated[str, typer.Argument(help="ETH, or ETH-hedge for one with a name.", metavar="TRADE")]

PIPE_WIDTH = 160
"""Columns of tables that nobody sees on a terminal."""

_MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)

console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def settings() -> Settings:
    """From the environment, where the global options have been written. Raises BadOption for the first bad field."""
    try:
        return Settings.from_env()
    except ValidationError as error:
        detail = error.errors()[0]
        field = ".".join(str(part) for part in detail["loc"])
        raise BadOption(f"{field} is {detail['input']!r}: {detail['msg']} (HYPERTRADER_{field.upper()})") from None


def make_state_dir(chosen: Settings) -> None:
    """Before anything is written there: keys and books are for their owner alone. A folder that is there stays so."""
    chosen.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)


def decimal_option(name: str, text: str) -> Decimal:
    """An exact number, as written. Raises BadOption."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise BadOption(f"{name} is {text}: a number such as 2 or 0.25 is allowed")
    return number


def moment_option(name: str, text: str) -> int:
    """A time with its zone, in ms UTC. Raises BadOption."""
    try:
        return int(_MOMENT.validate_python(text).timestamp() * 1000)
    except ValidationError:
        raise BadOption(f"{name} is {text}: a time such as 2027-01-31T00:00Z is allowed") from None


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def echo_json(value: BaseModel | Sequence[BaseModel] | dict[str, Any] | list[dict[str, Any]]) -> None:
    """One JSON document on stdout."""
    if isinstance(value, BaseModel):
        typer.echo(value.model_dump_json())
        return
    plain = [_plain(item) for item in value] if isinstance(value, Sequence) else value
    typer.echo(json.dumps(plain, default=str))


def _plain(item: BaseModel | dict[str, Any]) -> Any:
    return item.model_dump(mode="json") if isinstance(item, BaseModel) else item


def ladder_option(text: str) -> Ladder:
    """A preset by name, or a ladder from a YAML or JSON file. Raises BadOption that names the file and the step."""
    from backtest.options import BadOptionError, read_ladder

    try:
        found = read_ladder(text)
    except BadOptionError as error:
        raise BadOption(str(error)) from None
    if not isinstance(found, Ladder):
        # It guards nothing before it is armed: only a plan has the limits it needs.
        raise BadOption(f"--preset is {text}; this strategy needs limits: write a plan with `hypertrader plan new`")
    return found
