"""From what a user types to a `Setup`; every refusal names the field, the value and what is allowed."""

import json
import os
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import ValidationError

from backtest.funding import BadFundingError, Funding, read_funding
from backtest.markets import MIN_NOTIONAL_USD, SIZE_DECIMALS, lot_of, tiers_of
from backtest.prices import ALL_TIMES, LAST_MS, Span
from backtest.setup import MarginTier, Setup
from plans.plan import NAMED, default_limits
from strategy.fibonacci import Fibonacci
from strategy.ladder import AtReset, Ladder
from strategy.units import UnitMode
from strategy.values import QUANTUM, ZERO

MICRO_USD = Decimal("0.000001")
"""What the exchange cuts fees and funding to."""

Choice = TypeVar("Choice", bound=StrEnum)


class BadOptionError(ValueError):
    """One line: the option, its value, what is allowed."""


def read_setup(
    *,
    coin: str,
    margin: str,
    leverage: str,
    unit_size: str,
    preset: str,
    unit_mode: str,
    at_reset: str,
    fee_bps: str,
    slippage_bps: str,
    lot: str,
    liquidation: str,
    half_spread: str = "0",
) -> Setup:
    """The setup these texts mean; raises BadOptionError for the first that means nothing."""
    coin = _coin(coin)
    lot_size, min_notional_usd = _lot(coin, lot)
    times = _leverage(leverage)
    ladder = read_ladder(preset)
    return Setup(
        coin=coin,
        margin_usd=read_size("margin", margin),
        leverage=times,
        unit_size=read_size("unit-size", unit_size),
        unit_mode=read_choice("unit-mode", unit_mode, UnitMode),
        ladder=ladder,
        limits=default_limits(ladder),
        at_reset=read_choice("at-reset", at_reset, AtReset),
        fee_bps=_bps("fee-bps", fee_bps),
        slippage_bps=_bps("slippage-bps", slippage_bps),
        half_spread_usd=ZERO if half_spread == "0" else read_size("half-spread", half_spread, instead="0 or "),
        lot=lot_size,
        min_notional_usd=min_notional_usd,
        # Without lots everything is exact, the cents of fees and funding too.
        money_step_usd=ZERO if lot == "none" else MICRO_USD,
        tiers=_tiers(coin, times, liquidation),
    )


def read_costs_of_holding(text: str) -> Funding:
    """What `--funding` means; raises BadOptionError."""
    try:
        return read_funding(text)
    except BadFundingError as error:
        raise BadOptionError(str(error)) from error


def read_span(since: str, until: str) -> Span:
    """`--from` and `--to`, either may be empty; raises BadOptionError."""
    span = Span(
        read_moment("from", since) if since else ALL_TIMES.from_ms,
        read_moment("to", until) if until else ALL_TIMES.to_ms,
    )
    if span.from_ms >= span.to_ms:
        raise BadOptionError(f"--to is {until}; it must be after --from, which is {since or 'not given'}")
    return span


def read_moment(name: str, text: str) -> int:
    """A time in ms UTC; raises BadOptionError."""
    if text.isascii() and text.isdigit() and len(text) != 8 and int(text) <= LAST_MS:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
        time_ms = round(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        time_ms = -1
    if time_ms < 0:
        raise BadOptionError(
            f"--{name} is {text or 'missing'}; it must be a UTC date, a time such as 2025-06-01T12:00 or milliseconds "
            "since 1970"
        )
    return time_ms


def check_writable(name: str, path: Path | None) -> None:
    """Raises BadOptionError where no file could be written: better now than after all the work."""
    if path is None:
        return
    if path.is_dir():
        problem = "Is a directory"
    elif not path.parent.is_dir():
        problem = f"there is no folder {path.parent}"
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        problem = "Permission denied"
    else:
        return
    raise BadOptionError(f"--{name} is {path}; it can't be written: {problem}")


def read_ladder(preset: str) -> Ladder | Fibonacci:
    """A preset by name, or the strategy in a YAML or JSON file; raises BadOptionError."""
    if preset in NAMED:
        return NAMED[preset]
    path = Path(preset)
    if path.suffix.lower() not in (".yaml", ".yml", ".json"):
        raise BadOptionError(f"--preset is {preset}; it must be {', '.join(NAMED)} or a .yaml, .yml or .json file")
    try:
        text = path.read_text(encoding="utf-8")
        # JSON's numbers are read as the decimals they show; YAML's floats are short enough to come back unchanged.
        data = json.loads(text, parse_float=Decimal) if path.suffix.lower() == ".json" else yaml.safe_load(text)
        is_hedge = isinstance(data, dict) and "levels" in data
        return Fibonacci.model_validate(data) if is_hedge else Ladder.model_validate(data)
    except OSError as error:
        raise BadOptionError(f"--preset is {preset}; it can't be read: {error.strerror or error}") from error
    except ValidationError as error:
        raise BadOptionError(f"--preset is {preset}; {_first_problem(error)}") from error
    except (UnicodeDecodeError, json.JSONDecodeError, yaml.YAMLError) as error:
        raise BadOptionError(f"--preset is {preset}; it is not a ladder: {' '.join(str(error).split())}") from error


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    message = problem["msg"].removeprefix("Value error, ")
    field = ".".join(str(part) for part in problem["loc"])
    if not field:
        return message
    given = "" if problem["type"] == "missing" else f" is {problem['input']!s:.60}"
    return f"{field}{given}: {message}"


def _coin(coin: str) -> str:
    if not coin or len(coin) > 20 or not coin.isalnum():
        raise BadOptionError(f"--coin is {coin or 'missing'}; it must be the exchange's name of a coin, such as ETH")
    return coin


def _lot(coin: str, lot: str) -> tuple[Decimal, Decimal]:
    """Size step and smallest order."""
    if lot == "none":
        return QUANTUM, ZERO
    if lot != "exchange":
        return read_size("lot", lot, instead="exchange, none or "), MIN_NOTIONAL_USD
    if coin not in SIZE_DECIMALS:
        raise BadOptionError(
            f"--lot is exchange, and the lot of {coin} is not known; it is for {', '.join(SIZE_DECIMALS)}: "
            f"give --lot as a number of {coin}, or none"
        )
    return lot_of(coin), MIN_NOTIONAL_USD


def _tiers(coin: str, leverage: int, liquidation: str) -> tuple[MarginTier, ...]:
    if liquidation == "none":
        return ()
    if liquidation != "exchange":
        raise BadOptionError(f"--liquidation is {liquidation}; it must be exchange or none")
    tiers = tiers_of(coin, leverage)
    if leverage > tiers[0].max_leverage:
        raise BadOptionError(
            f"--leverage is {leverage}; {coin} allows 1 to {tiers[0].max_leverage} (any, with --liquidation none)"
        )
    return tiers


def read_size(name: str, text: str, *, instead: str = "") -> Decimal:
    """A number above 0; raises BadOptionError."""
    number = _decimal(text)
    if number is None or number <= 0:
        raise BadOptionError(f"--{name} is {text or 'missing'}; it must be {instead}a number above 0")
    return number


def _bps(name: str, text: str) -> Decimal:
    number = _decimal(text)
    if number is None or not 0 <= number <= 1000:
        raise BadOptionError(f"--{name} is {text}; it must be a number from 0 to 1000 (1 is 0.01%)")
    return number


def _leverage(text: str) -> int:
    number = _decimal(text)
    if number is None or number != number.to_integral_value() or not 1 <= number <= 100:
        raise BadOptionError(f"--leverage is {text}; it must be a whole number from 1 to 100")
    return int(number)


def _decimal(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    # Beyond these the figures of a trade no longer fit into the digits it is counted with.
    in_range = number == 0 or -12 <= number.adjusted() <= 12 if number.is_finite() else False
    return number if in_range else None


def read_choice(name: str, text: str, choices: type[Choice]) -> Choice:
    try:
        return choices(text)
    except ValueError:
        raise BadOptionError(f"--{name} is {text}; it must be {' or '.join(choices)}") from None
