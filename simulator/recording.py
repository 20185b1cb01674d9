"""Recorded prices: CSV or Parquet with `ts,price`, or trades as `ts,price,size,side`; ts in ms UTC, gaps kept.

Hyperliquid's own names `time`, `px` and `sz` are taken as well. Where there is a `coin` column, rows of other coins
are left out. Sizes and sides are accepted and not used: the simulator prints trades of its own makers.
"""

import csv
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

import pyarrow.parquet

from simulator.paths import Print
from simulator.prices import PriceSourceError

_TIME_NAMES = ("ts", "time")
_PRICE_NAMES = ("price", "px")
# 2001 to 2286: seconds and microseconds fall outside, so the commonest mistake is caught at the first row.
_EARLIEST_MS, _LATEST_MS = 10**12, 10**13 - 1

Row = tuple[str, object, object, object]
"""Where it stands (for errors), time, price, coin or None."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One coin's recorded prints; position 0 is the first of them."""

    coin: str
    times_ms: "array[int]"
    prices: list[Decimal]

    @property
    def coins(self) -> tuple[str, ...]:
        return (self.coin,)

    @property
    def start_ms(self) -> int:
        """Time of the first row: give it to the clock to have simulated time as recorded."""
        return self.times_ms[0]

    def prices_at(self, position_s: float) -> dict[str, Decimal]:
        return {self.coin: self.prices[self._passed(position_s) - 1]}

    def prints_after(self, position_s: float) -> Iterator[Print]:
        for index in range(self._passed(position_s), len(self.prices)):
            yield Print((self.times_ms[index] - self.start_ms) / 1000, self.coin, self.prices[index])

    def _passed(self, position_s: float) -> int:
        return bisect_right(self.times_ms, self.start_ms + position_s * 1000)


def load_recording(path: Path, coin: str) -> Recording:
    """Read a recording wholly. PriceSourceError names the row, the value and what is allowed."""
    readers = {".csv": _csv_rows, ".parquet": _parquet_rows}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise PriceSourceError(f"recording is {str(path)!r}: a file ending in .csv or .parquet is allowed")
    try:
        return _recording(reader(path), coin, path.name)
    except FileNotFoundError as error:
        raise PriceSourceError(f"recording is {str(path)!r}: there is no such file") from error
    except (OSError, UnicodeDecodeError, csv.Error, pyarrow.ArrowInvalid) as error:
        raise PriceSourceError(f"recording is {str(path)!r}: can't be read: {error}") from error


def _recording(rows: Iterable[Row], coin: str, name: str) -> Recording:
    times_ms, prices = array("q"), list[Decimal]()
    # Prices repeat a lot: one object each keeps a month of trades small.
    known: dict[object, Decimal] = {}
    others = set[str]()
    for where, raw_time, raw_price, row_coin in rows:
        if row_coin is not None and row_coin != coin:
            others.add(str(row_coin))
            continue
        time_ms = _time_ms(raw_time, where)
        if times_ms and time_ms < times_ms[-1]:
            raise PriceSourceError(f"{where}: ts is {time_ms}: not before the row above, {times_ms[-1]}, is allowed")
        price = known.get(raw_price)
        if price is None:
            price = known[raw_price] = _price(raw_price, where)
        times_ms.append(time_ms)
        prices.append(price)
    if not prices:
        hint = f"; it has {', '.join(sorted(others))}" if others else ""
        raise PriceSourceError(f"{name}: has no row of coin {coin}{hint}: at least one is needed")
    return Recording(coin, times_ms, prices)


def _csv_rows(path: Path) -> Iterator[Row]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        header = [name.strip().lower() for name in next(reader, [])]
        time_at, price_at, coin_at = _columns(header, f"{path.name} line 1")
        for row in reader:
            if not row:
                continue
            where = f"{path.name} line {reader.line_num}"
            if len(row) != len(header):
                raise PriceSourceError(f"{where}: has {len(row)} fields: {len(header)} are needed ({','.join(header)})")
            yield where, row[time_at], row[price_at], None if coin_at is None else row[coin_at].strip()


def _parquet_rows(path: Path) -> Iterator[Row]:
    with pyarrow.parquet.ParquetFile(path) as file:
        names = file.schema_arrow.names
        time_at, price_at, coin_at = _columns([name.lower() for name in names], path.name)
        wanted = [names[index] for index in (time_at, price_at, coin_at) if index is not None]
        number = 0
        for batch in file.iter_batches(columns=wanted):
            columns = [batch.column(name).to_pylist() for name in wanted]
            for values in zip(*columns, strict=True):
                number += 1
                yield f"{path.name} row {number}", values[0], values[1], values[2] if coin_at is not None else None


def _columns(names: list[str], where: str) -> tuple[int, int, int | None]:
    def position(allowed: tuple[str, ...]) -> int | None:
        return next((names.index(name) for name in allowed if name in names), None)

    time_at, price_at = position(_TIME_NAMES), position(_PRICE_NAMES)
    if time_at is None or price_at is None:
        raise PriceSourceError(f"{where}: the columns are {names}: `ts,price` or `ts,price,size,side` are needed")
    return time_at, price_at, position(("coin",))


def _time_ms(raw: object, where: str) -> int:
    if isinstance(raw, datetime):
        aware = raw if raw.tzinfo else raw.replace(tzinfo=UTC)
        return round(aware.timestamp() * 1000)
    try:
        time_ms = int(str(raw).strip())
    except ValueError:
        time_ms = 0
    if not _EARLIEST_MS <= time_ms <= _LATEST_MS:
        raise PriceSourceError(f"{where}: ts is {raw!r}: whole milliseconds UTC (13 digits) are allowed")
    return time_ms


def _price(raw: object, where: str) -> Decimal:
    try:
        # A float's shortest text is what was meant when it was written.
        price = Decimal(str(raw).strip())
    except InvalidOperation:
        price = Decimal("nan")
    if not price.is_finite() or price <= 0:
        raise PriceSourceError(f"{where}: price is {raw!r}: a number above 0 is allowed")
    return price
