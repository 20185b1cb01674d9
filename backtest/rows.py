"""Prices read row by row, exactly: the reader that others are measured against, and the one that words refusals.

CSV and Parquet both go through text, so a price is the decimal its file shows and one parser makes the refusals.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from itertools import islice
from pathlib import Path
from typing import TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from backtest.files import Kind, columns_of, content_error, kind_of, opening_error
from backtest.prices import ALL_TIMES, GAP_MAX_MS, LAST_MS, SECONDS, BadPricesError, PriceBatch, Span

_ROWS_PER_BATCH = 16_384

Column = Sequence[str | None]
"""Cells as text; None where one is missing."""


def read_prices(path: Path, span: Span = ALL_TIMES) -> Iterator[PriceBatch]:
    """The rows of the file that lie in `span`, in batches that fit in memory. What comes after it is not read.

    Raises BadPricesError, possibly after some batches: for a file that can't be read, a missing column, a file without
    rows in the span, a price that is not a finite number above 0, a candle whose high or low is not its highest or
    lowest, a `ts` that is not whole milliseconds, earlier than the one before it or ten years later, a row with more
    cells than the header. Equal times are fine: trades share milliseconds.
    """
    texts = _csv_texts(path) if kind_of(path) is Kind.CSV else _parquet_texts(path)
    found = False
    try:
        for batch in _parsed(path, texts, span):
            found = True
            yield batch
    except OSError as error:
        raise opening_error(path, error) from error
    if not found:
        where = "" if span == ALL_TIMES else f" from {span}"
        raise BadPricesError(f"{path}: has no rows{where}; at least one price is needed")


def _csv_texts(path: Path) -> Iterator[list[Column]]:
    try:
        with _opened(path) as file:
            rows = csv.reader(file)
            header, first_row = next(rows, []), 0
            _, positions = columns_of(path, header)
            while lines := list(islice(rows, _ROWS_PER_BATCH)):
                _check_width(path, first_row, lines, len(header))
                first_row += len(lines)
                yield [_column(lines, position) for position in positions]
    except (UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        if isinstance(error, OSError):
            raise
        raise content_error(path, error, "a CSV file of text") from error


def _check_width(path: Path, first_row: int, lines: list[list[str]], width: int) -> None:
    """A cell too many shifts those after it: a decimal comma, or rows of another table. (Those missing are told of as
    the columns they are missing in.)"""
    if max(map(len, lines)) > width:
        row, line = next((row, line) for row, line in enumerate(lines, first_row) if len(line) > width)
        raise BadPricesError(f"{path} row {row}: has {len(line)} cells; it must have {width}, as the header")


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    if path.suffix.lower() == ".csv":
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield file
        return
    with pa.input_stream(str(path), compression={".gz": "gzip", ".zst": "zstd"}[path.suffix.lower()]) as packed:
        yield io.TextIOWrapper(packed, newline="", encoding="utf-8-sig")


def _column(lines: list[list[str]], position: int) -> Column:
    try:
        return [line[position] for line in lines]
    except IndexError:
        return [line[position] if position < len(line) else None for line in lines]


def _parquet_texts(path: Path) -> Iterator[list[Column]]:
    try:
        with pq.ParquetFile(path) as file:
            names, _ = columns_of(path, file.schema_arrow.names)
            for name in names:
                _check_type(path, name, file.schema_arrow.field(name).type)
            for batch in file.iter_batches(_ROWS_PER_BATCH, columns=list(names)):
                yield [batch.column(name).cast(pa.string()).to_pylist() for name in names]
    except pa.ArrowException as error:
        if isinstance(error, OSError):
            raise
        raise content_error(path, error, "a Parquet file that can be read") from error


def _check_type(path: Path, name: str, kind: pa.DataType) -> None:
    number = pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if name != "ts":
        number = number or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if not number:
        allowed = "whole milliseconds (integers)" if name == "ts" else "decimals, floats, integers or text"
        raise BadPricesError(f"{path}: column {name} holds {kind}; it must hold {allowed}")


def _parsed(path: Path, texts: Iterable[list[Column]], span: Span) -> Iterator[PriceBatch]:
    first_row, last_ms = 0, 0
    for columns in texts:
        parse = _candle if len(columns) > 2 else _tick
        times_ms: list[int] = []
        prices: list[Decimal] = []
        skipped, over = 0, False
        for row, (time_text, *price_texts) in enumerate(zip(*columns, strict=True), first_row):
            time_ms = _time(path, row, time_text, last_ms)
            if time_ms >= span.to_ms:
                over = True
                break
            last_ms = time_ms
            found = parse(path, row, price_texts)
            if time_ms < span.from_ms:
                skipped += 1
                continue
            times_ms.append(time_ms)
            prices += found
        if times_ms:
            yield PriceBatch(first_row + skipped, times_ms, prices, len(prices) // len(times_ms))
        if over:
            return
        first_row += len(columns[0])


def _time(path: Path, row: int, text: str | None, last_ms: int) -> int:
    try:
        time_ms = int(text)  # type: ignore[arg-type]  # a missing cell is the TypeError below
    except (ValueError, TypeError):
        time_ms = -1
    if not 0 <= time_ms <= LAST_MS:
        shown = "missing" if not text else text[:40]
        raise BadPricesError(f"{path} row {row}: ts is {shown}; it must be whole milliseconds since 1970, UTC")
    if time_ms in SECONDS:
        raise BadPricesError(f"{path} row {row}: ts is {time_ms}, which looks like seconds; it must be milliseconds")
    if last_ms and time_ms - last_ms > GAP_MAX_MS:
        raise BadPricesError(
            f"{path} row {row}: ts is {time_ms}, the row before has {last_ms}; they must be less than ten years apart"
        )
    if time_ms < last_ms:
        raise BadPricesError(
            f"{path} row {row}: ts is {time_ms}, the row before has {last_ms}; rows must be oldest first"
        )
    return time_ms


def _tick(path: Path, row: int, texts: Sequence[str | None]) -> tuple[Decimal, ...]:
    return (_price(path, row, "price", texts[0]),)


def _candle(path: Path, row: int, texts: Sequence[str | None]) -> tuple[Decimal, ...]:
    first, high, low, last = (
        _price(path, row, name, text) for name, text in zip(("open", "high", "low", "close"), texts, strict=True)
    )
    if high < max(first, last, low):
        raise BadPricesError(f"{path} row {row}: high is {high}; it must not be below the candle's other prices")
    if low > min(first, last):
        raise BadPricesError(f"{path} row {row}: low is {low}; it must not be above the candle's other prices")
    return (first, low, high, last) if last >= first else (first, high, low, last)


def _price(path: Path, row: int, name: str, text: str | None) -> Decimal:
    try:
        price = Decimal(text)  # type: ignore[arg-type]
        if price.is_finite() and price > 0:
            return price
    except (InvalidOperation, TypeError):
        pass
    shown = "missing" if not text else text[:40]
    raise BadPricesError(f"{path} row {row}: {name} is {shown}; it must be a number above 0")
