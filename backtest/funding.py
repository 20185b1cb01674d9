"""What a position costs or earns each full hour: nothing, one rate, or the recorded rates of a file."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from backtest.journal import as_text
from backtest.prices import LAST_MS, SECONDS
from strategy.values import ZERO

HOUR_MS = 3_600_000
RATE_MAX = Decimal("0.04")
"""The exchange's cap per hour, either way."""


class BadFundingError(ValueError):
    """One line: the value or the file's row, and what is allowed."""


@dataclass(frozen=True, slots=True)
class Funding:
    """Rates as shares of notional; longs pay when positive."""

    constant: Decimal = ZERO
    by_hour: Mapping[int, Decimal] = field(default_factory=dict)
    """By the full hour in ms UTC; an hour that is not there costs nothing."""
    file: str = field(default="", compare=False)
    """Name of the file they were read from."""

    def __bool__(self) -> bool:
        return bool(self.constant or self.by_hour)

    def __str__(self) -> str:
        return self.file or (f"{as_text(self.constant)} an hour" if self.constant else "none")

    def missing_hours(self, first_ms: int, last_ms: int) -> int:
        """Full hours after the first time, up to the last, that a file has no rate for."""
        if not self.by_hour:
            return 0
        first, last = first_ms // HOUR_MS + 1, last_ms // HOUR_MS
        return last - first + 1 - sum(first <= hour_ms // HOUR_MS <= last for hour_ms in self.by_hour)

    def rate(self, hour_ms: int) -> Decimal:
        return self.by_hour.get(hour_ms, ZERO) if self.by_hour else self.constant


NO_FUNDING = Funding()


def read_funding(text: str) -> Funding:
    """`none`, a rate per hour as `0.0000125`, or a CSV or Parquet file with columns `ts` and `rate`.

    A time is that of the payment, up to some seconds past its hour. Raises BadFundingError.
    """
    if text == "none":
        return NO_FUNDING
    try:
        constant = Decimal(text)
    except InvalidOperation:
        return Funding(by_hour=_read_file(Path(text)), file=Path(text).name)
    return Funding(constant=_checked(constant, f"--funding is {text}"))


def _read_file(path: Path) -> dict[int, Decimal]:
    rates: dict[int, Decimal] = {}
    try:
        for row, (time_text, rate_text) in enumerate(_rows(path)):
            where = f"{path} row {row}"
            try:
                time_ms, rate = int(time_text), Decimal(rate_text)
            except (ValueError, InvalidOperation, TypeError):
                raise BadFundingError(
                    f"{where}: ts is {time_text or 'missing'}, rate is {rate_text or 'missing'}; "
                    "they must be whole milliseconds since 1970, UTC, and a number"
                ) from None
            if not 0 <= time_ms <= LAST_MS:
                raise BadFundingError(f"{where}: ts is {time_ms}; it must be whole milliseconds since 1970, UTC")
            if time_ms in SECONDS:
                raise BadFundingError(f"{where}: ts is {time_ms}, which looks like seconds; it must be milliseconds")
            rates[time_ms // HOUR_MS * HOUR_MS] = _checked(rate, f"{where}: rate is {rate_text}")
    except OSError as error:
        raise BadFundingError(
            f"--funding is {path}; it must be none, a rate per hour or a file ({error.strerror or error})"
        ) from error
    except (UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise BadFundingError(f"--funding is {path}; it can't be read: {str(error).splitlines()[0]}") from error
    if not rates:
        raise BadFundingError(f"--funding is {path}; it has no rows")
    return rates


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    if path.suffix.lower() in (".parquet", ".pq"):
        table = pq.read_table(path)
        _check_header(path, table.column_names)
        columns = (table.column(name).cast(pa.string()).to_pylist() for name in ("ts", "rate"))
        yield from zip(*columns, strict=True)
        return
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file, skipinitialspace=True)
        _check_header(path, rows.fieldnames or ())
        for row in rows:
            yield row["ts"], row["rate"]


def _check_header(path: Path, names: object) -> None:
    found = [str(name) for name in names] if isinstance(names, list | tuple) else []
    if "ts" not in found or "rate" not in found:
        raise BadFundingError(
            f"--funding is {path}; its header is {','.join(found)[:80] or 'empty'}, it must have columns ts and rate"
        )


def _checked(rate: Decimal, where: str) -> Decimal:
    if not rate.is_finite() or abs(rate) > RATE_MAX:
        raise BadFundingError(f"{where}; it must be a rate per hour from -{RATE_MAX} to {RATE_MAX}")
    return rate
