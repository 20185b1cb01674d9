"""What kind of file recorded prices are in, and which of its columns are theirs."""

from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from backtest.prices import CANDLE_COLUMNS, TICK_COLUMNS, BadPricesError


class Kind(Enum):
    CSV = "csv"
    PARQUET = "parquet"


_KINDS = {
    ".csv": Kind.CSV,
    ".csv.gz": Kind.CSV,
    ".csv.zst": Kind.CSV,
    ".parquet": Kind.PARQUET,
    ".pq": Kind.PARQUET,
}


def kind_of(path: Path) -> Kind:
    """By the file's name; raises BadPricesError for any other."""
    name = path.name.lower()
    for ending, kind in _KINDS.items():
        if name.endswith(ending):
            return kind
    *most, last = _KINDS
    raise BadPricesError(
        f"{path}: its name ends in {path.suffix or 'nothing'}; {', '.join(most)} or {last} can be read"
    )


def columns_of(path: Path, header: Sequence[str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The names to read, `ts` first, and where they stand; raises BadPricesError unless they are ticks or candles."""
    found = [name.strip() for name in header]
    shown = ",".join(found)[:80] or "empty"
    has_candles = any(name in found for name in CANDLE_COLUMNS[1:4])
    if has_candles and "price" in found:
        raise BadPricesError(
            f"{path}: the header is {shown}; it must have either price or open,high,low,close, not both"
        )
    names = CANDLE_COLUMNS if has_candles else TICK_COLUMNS
    for name in names:
        if found.count(name) != 1:
            raise BadPricesError(f"{path}: the header is {shown}; it must have one column {name}")
    return names, tuple(found.index(name) for name in names)


def opening_error(path: Path, error: OSError) -> BadPricesError:
    return BadPricesError(f"{path}: can't be read: {error.strerror or ' '.join(str(error).split())[:200]}")


def content_error(path: Path, error: Exception, what: str) -> BadPricesError:
    """The file is not what its name says; `what` is "a CSV file of text" or the like."""
    said = str(error).splitlines()
    return BadPricesError(f"{path}: is not {what}: {said[0][:200] if said else type(error).__name__}")
