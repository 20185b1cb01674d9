"""What funding costs each hour: one rate for all, or rates from a file by hour and coin."""

import csv
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path

import pyarrow.parquet

from simulator.markets import BY_COIN
from simulator.records import ZERO

HOUR_MS = 3_600_000
USUAL_RATE = "0.0000125"
"""Where the venue's rates stand when nothing pulls at them."""
RATE_MAX = Decimal("0.04")
"""The venue's cap per hour, either way."""
_TIME_NAMES = ("time_ms", "ts", "time")
_RATE_NAMES = ("rate", "fundingrate")


class FundingError(ValueError):
    """Rates can't be made from what was given. The text names the value and what is allowed."""


class FundingRates:
    """Per hour, as a share of notional; longs pay when positive. Without rates by hour the constant is for all."""

    def __init__(self, constant: Decimal = ZERO, by_hour: Mapping[str, Mapping[int, Decimal]] | None = None) -> None:
        self._constant = constant
        self._by_hour = by_hour

    def rate(self, coin: str, hour_ms: int) -> Decimal:
        """What is paid at this full hour; an hour or a coin that the file does not have costs nothing."""
        if self._by_hour is None:
            return self._constant
        return self._by_hour.get(coin, {}).get(hour_ms, ZERO)


def funding_rates(text: str) -> FundingRates:
    """`none`, a rate as `0.0000125`, a file of all coins, or `ETH=` and a file of one. Raises FundingError."""
    if text == "none":
        return FundingRates()
    try:
        constant = Decimal(text)
    except InvalidOperation:
        return _from_file(*_file(text))
    return FundingRates(_checked(constant))


def _file(text: str) -> tuple[Path, str | None]:
    coin, separator, path = text.partition("=")
    if not separator:
        return Path(text), None
    if coin not in BY_COIN:
        raise FundingError(f"{text}: the coin before = may be {', '.join(BY_COIN)}")
    return Path(path), coin


def _from_file(path: Path, coin: str | None) -> FundingRates:
    try:
        rows = _rows(path)
    except OSError as error:
        raise FundingError(f"{path}: none, a rate per hour or a file is allowed ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error, pyarrow.ArrowInvalid) as error:
        raise FundingError(f"{path}: can't be read: {error}") from error
    by_hour: dict[str, dict[int, Decimal]] = {}
    for number, row in enumerate(rows, 1):
        where = f"{path.name} row {number}"
        time_ms, rate = _of(row, _TIME_NAMES, where), _of(row, _RATE_NAMES, where)
        found = coin or _of(row, ("coin",), f"{where} (or name the coin: ETH={path})")
        try:
            # The venue stamps its payments some milliseconds past the hour.
            hour_ms, value = int(time_ms) // HOUR_MS * HOUR_MS, Decimal(rate)
        except (ValueError, InvalidOperation) as error:
            raise FundingError(f"{where} is {time_ms}, {rate}: milliseconds UTC and a rate are allowed") from error
        by_hour.setdefault(found, {})[hour_ms] = _checked(value, f"{where}: ")
    return FundingRates(by_hour=by_hour)


def _rows(path: Path) -> Iterable[dict[str, object]]:
    if path.suffix.lower() == ".parquet":
        return list(pyarrow.parquet.read_table(path).to_pylist())
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def _of(row: Mapping[str, object], names: tuple[str, ...], where: str) -> str:
    for name, value in row.items():
        if str(name).strip().lower() in names and value is not None:
            return str(value).strip()
    raise FundingError(f"{where}: has no {names[0]}: the columns time_ms, coin and rate are needed")


def _checked(rate: Decimal, where: str = "") -> Decimal:
    if not rate.is_finite() or abs(rate) > RATE_MAX:
        raise FundingError(f"{where}{rate}: a rate per hour from -{RATE_MAX} to {RATE_MAX} is allowed")
    return rate
