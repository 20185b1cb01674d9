"""Recorded prices: CSV or Parquet with columns `ts` (ms UTC) and `price` (USD per coin), oldest first, read exactly.

Both kinds go through text, so a price is the decimal its file shows and one parser makes the refusals.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

COLUMNS = ("ts", "price")
_ROWS_PER_BATCH = 16_384


class BadPricesError(ValueError):
    """The file can't be used; the text names the file, the row (0-based, the header not counted) and what is wrong."""


@dataclass(frozen=True, slots=True)
class PriceBatch:
    """Consecutive rows of a recording, `times_ms[k]` and `prices[k]` being row `first_row + k`."""

    first_row: int
    times_ms: list[int]
    prices: list[Decimal]


@dataclass(frozen=True, slots=True)
class _TextBatch:
    """Both columns as text; None where a cell is missing."""

    times: list[str | None]
    prices: list[str | None]


def read_prices(path: Path) -> Iterator[PriceBatch]:
    """The rows of a `.csv`, `.parquet` or `.pq` file, in batches that fit in memory.

    Raises BadPricesError, possibly after some batches: for a file that can't be read, a missing column, a file without
    rows, a price that is not a finite number above 0, a `ts` that is not whole milliseconds or earlier than the one
    before it. Equal times are fine: trades share milliseconds.
    """
    match path.suffix.lower():
        case ".csv":
            texts = _csv_texts(path)
        case ".parquet" | ".pq":
            texts = _parquet_texts(path)
        case suffix:
            raise BadPricesError(f"{path}: its name ends in {suffix or 'nothing'}; .csv, .parquet or .pq can be read")
    try:
        yield from _parsed(path, texts)
    except OSError as error:
        raise BadPricesError(f"{path}: can't be read: {error.strerror or error}") from error


def _csv_texts(path: Path) -> Iterator[_TextBatch]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            time_at, price_at = _positions(path, next(rows, []))
            while lines := list(islice(rows, _ROWS_PER_BATCH)):
                yield _TextBatch(_column(lines, time_at), _column(lines, price_at))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadPricesError(f"{path}: is not a CSV file of text: {error}") from error


def _column(lines: list[list[str]], position: int) -> list[str | None]:
    try:
        return [line[position] for line in lines]
    except IndexError:
        return [line[position] if position < len(line) else None for line in lines]


def _parquet_texts(path: Path) -> Iterator[_TextBatch]:
    try:
        with pq.ParquetFile(path) as file:
            _positions(path, file.schema_arrow.names)
            for name in COLUMNS:
                _check_type(path, name, file.schema_arrow.field(name).type)
            for batch in file.iter_batches(_ROWS_PER_BATCH, columns=list(COLUMNS)):
                times, prices = (batch.column(name).cast(pa.string()).to_pylist() for name in COLUMNS)
                yield _TextBatch(times, prices)
    except pa.ArrowException as error:
        raise BadPricesError(f"{path}: is not a Parquet file that can be read: {str(error).splitlines()[0]}") from error


def _check_type(path: Path, name: str, kind: pa.DataType) -> None:
    number = pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if name == "price":
        number = number or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if not number:
        allowed = "whole milliseconds (integers)" if name == "ts" else "decimals, floats, integers or text"
        raise BadPricesError(f"{path}: column {name} holds {kind}; it must hold {allowed}")


def _positions(path: Path, names: Iterable[str]) -> tuple[int, int]:
    found = [name.strip() for name in names]
    for name in COLUMNS:
        if found.count(name) != 1:
            raise BadPricesError(
                f"{path}: the header is {','.join(found)[:80] or 'empty'}; it must have one column {name}"
            )
    return found.index("ts"), found.index("price")


def _parsed(path: Path, texts: Iterable[_TextBatch]) -> Iterator[PriceBatch]:
    first_row, last_ms = 0, -(2**63)
    for text in texts:
        times_ms: list[int] = []
        prices: list[Decimal] = []
        for row, (time_text, price_text) in enumerate(zip(text.times, text.prices, strict=True), first_row):
            time_ms, price = _parsed_row(path, row, time_text, price_text)
            if time_ms < last_ms:
                raise BadPricesError(
                    f"{path} row {row}: ts is {time_ms}, the row before has {last_ms}; rows must be oldest first"
                )
            last_ms = time_ms
            times_ms.append(time_ms)
            prices.append(price)
        if prices:
            yield PriceBatch(first_row, times_ms, prices)
        first_row += len(prices)
    if not first_row:
        raise BadPricesError(f"{path}: has no rows; at least one price is needed")


def _parsed_row(path: Path, row: int, time_text: str | None, price_text: str | None) -> tuple[int, Decimal]:
    try:
        time_ms = int(time_text)  # type: ignore[arg-type]  # a missing cell is the TypeError below
    except (ValueError, TypeError):
        shown = "missing" if not time_text else time_text[:40]
        raise BadPricesError(
            f"{path} row {row}: ts is {shown}; it must be whole milliseconds since 1970, UTC"
        ) from None
    try:
        price = Decimal(price_text)  # type: ignore[arg-type]
        if price.is_finite() and price > 0:
            return time_ms, price
    except (InvalidOperation, TypeError):
        pass
    shown = "missing" if not price_text else price_text[:40]
    raise BadPricesError(f"{path} row {row}: price is {shown}; it must be a number above 0")
