from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.columns import read_columns
from backtest.prices import ALL_TIMES, BadPricesError, Span, joined
from backtest.rows import read_prices
from tests.strategy.trading import PATIENT

EXPECTED = [(1_700_000_000_000, "3450.25"), (1_700_000_000_000, "3450.2"), (1_700_000_060_000, "3451")]
TIMES = [ts for ts, _ in EXPECTED]


Row = tuple[int, Decimal]


def rows(path: Path) -> list[Row]:
    """By both readers, which refuse in the same words."""
    exact = outcome(by_row, path)
    assert outcome(by_column, path) == exact
    if isinstance(exact, str):
        raise BadPricesError(exact)
    return exact


def outcome(read: Callable[[Path], list[Row]], path: Path) -> list[Row] | str:
    """What it reads, or its refusal."""
    try:
        return read(path)
    except BadPricesError as refusal:
        return str(refusal)


def by_row(path: Path, span: Span = ALL_TIMES) -> list[tuple[int, Decimal]]:
    found: list[tuple[int, Decimal]] = []
    for batch in read_prices(path, span):
        times_ms = [time_ms for time_ms in batch.times_ms for _ in range(batch.per_row)]
        found += list(zip(times_ms, batch.prices, strict=True))
    return found


def by_column(path: Path, span: Span = ALL_TIMES) -> list[tuple[int, Decimal]]:
    found: list[tuple[int, Decimal]] = []
    for part in read_columns(path, span):
        times_ms = [int(time_ms) for time_ms in part.times_ms.repeat(part.per_row)]
        found += zip(times_ms, map(part.price, range(len(part.points))), strict=True)
    return found


def parquet(folder: Path, **columns: Any) -> Path:
    path = folder / "prices.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def test_a_csv_is_read_exactly(csv_of: Callable[..., Path]) -> None:
    assert rows(csv_of(EXPECTED)) == [(ts, Decimal(price)) for ts, price in EXPECTED]


def test_columns_may_stand_in_any_order_with_others_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "prices.CSV"
    path.write_bytes(b"\xef\xbb\xbfvolume, price ,ts\r\n7,0.1,5\r\n8,1e-3,6\r\n")
    assert rows(path) == [(5, Decimal("0.1")), (6, Decimal("0.001"))]


@pytest.mark.parametrize(
    "prices",
    [
        pa.array([Decimal("3450.25"), Decimal("3450.20"), Decimal("3451.00")]),
        pa.array([Decimal("3450.25"), Decimal("3450.20"), Decimal("3451.00")], pa.decimal256(50, 10)),
        pa.array([3450.25, 3450.2, 3451.0]),
        pa.array([3450.25, 3450.2, 3451.0], pa.float32()),
        pa.array(["3450.25", "3450.2", "3451"]),
    ],
    ids=["decimal128", "decimal256", "float64", "float32", "text"],
)
def test_a_parquet_price_is_the_decimal_it_shows(tmp_path: Path, prices: Any) -> None:
    assert rows(parquet(tmp_path, ts=TIMES, price=prices)) == [(ts, Decimal(price)) for ts, price in EXPECTED]


def test_a_parquet_of_integers_is_read(tmp_path: Path) -> None:
    assert rows(parquet(tmp_path, price=[3, 4], ts=pa.array([1, 2], pa.uint32()))) == [(1, Decimal(3)), (2, Decimal(4))]


def test_a_long_file_comes_in_batches_without_a_gap(csv_of: Callable[..., Path], tmp_path: Path) -> None:
    count = 40_000
    long_csv = csv_of([(row, row + 1) for row in range(count)])
    long_parquet = parquet(tmp_path, ts=list(range(count)), price=list(range(1, count + 1)))
    for path in (long_csv, long_parquet):
        assert len(list(read_prices(path))) > 1
        assert rows(path) == [(row, Decimal(row + 1)) for row in range(count)]


def test_an_empty_stretch_of_a_parquet_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "prices.parquet"
    schema = pa.schema({"ts": pa.int64(), "price": pa.float64()})
    with pq.ParquetWriter(path, schema) as writer:
        for stretch in ([], [7], [], [8]):
            writer.write_table(pa.table({"ts": stretch, "price": [1.5] * len(stretch)}, schema))
    assert rows(path) == [(7, Decimal("1.5")), (8, Decimal("1.5"))]


@pytest.mark.parametrize("price", ["NaN", "nan", "sNaN", "Infinity", "-Infinity", "0", "-1", "-0.5", "abc", ""])
def test_a_price_that_is_no_number_above_0_is_refused_with_its_row(csv_of: Callable[..., Path], price: str) -> None:
    with pytest.raises(BadPricesError, match=rf"row 1: price is {price or 'missing'}; it must be a number above 0"):
        rows(csv_of([(1, 100), (2, price), (3, 100)]))


@pytest.mark.parametrize("ts", ["1.5", "2025-01-01", "", "1e3"])
def test_a_time_that_is_no_whole_millisecond_is_refused_with_its_row(csv_of: Callable[..., Path], ts: str) -> None:
    with pytest.raises(BadPricesError, match=rf"row 2: ts is {ts or 'missing'}; it must be whole milliseconds"):
        rows(csv_of([(1, 100), (2, 100), (ts, 100)]))


def test_rows_out_of_order_are_refused_also_across_batches(csv_of: Callable[..., Path]) -> None:
    with pytest.raises(BadPricesError, match=r"row 1: ts is 1, the row before has 2; rows must be oldest first"):
        rows(csv_of([(2, 100), (1, 100)]))
    first_of_the_next = next(iter(read_prices(csv_of([(row, 1) for row in range(20_000)])))).prices
    row = len(first_of_the_next)
    with pytest.raises(BadPricesError, match=rf"row {row}: ts is -1"):
        rows(csv_of([(ts if ts != row else -1, 1) for ts in range(20_000)]))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "header is empty; it must have one column ts"),
        ("ts,price\n", "has no rows"),
        ("time,price\n1,2\n", "header is time,price; it must have one column ts"),
        ("ts,close\n1,2\n", "header is ts,close; it must have one column price"),
        ("ts,price,price\n1,2,3\n", "must have one column price"),
        ("ts,price\n1,2\n3\n", "row 1: price is missing"),
        ("ts,price\n1,2\n\n3,4\n", "row 1: ts is missing"),
        ("ts,price\n1,2\n3,3450,25\n", "row 1: has 3 cells; it must have 2, as the header"),
        ("ts,price\n1735689600,2\n", "row 0: ts is 1735689600, which looks like seconds; it must be milliseconds"),
        ("ts,price\n1,2\n1735689600,2\n", "row 1: ts is 1735689600, which looks like seconds"),
        (
            "ts,price\n1735689600000,2\n2682460800000,2\n",
            "row 1: ts is 2682460800000, the row before has 1735689600000; they must be less than ten years apart",
        ),
    ],
)
def test_a_csv_of_another_shape_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(text)
    with pytest.raises(BadPricesError) as refusal:
        rows(path)
    assert says in str(refusal.value) and str(path) in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"ts": [1], "close": [2.0]}, "must have one column price"),
        ({"ts": [1.0], "price": [2.0]}, "column ts holds double; it must hold whole milliseconds"),
        ({"ts": [1], "price": [True]}, "column price holds bool"),
        ({"ts": pa.array([], pa.int64()), "price": pa.array([], pa.float64())}, "has no rows"),
        ({"ts": [1, 2], "price": [2.0, None]}, "row 1: price is missing"),
        ({"ts": [1, None], "price": [2.0, 2.0]}, "row 1: ts is missing"),
        ({"ts": [1, 2], "price": [2.0, float("nan")]}, "row 1: price is nan"),
        ({"ts": [1, 2], "price": [2.0, float("-inf")]}, "row 1: price is -inf"),
    ],
)
def test_a_parquet_of_another_shape_is_refused(tmp_path: Path, columns: dict[str, Any], says: str) -> None:
    with pytest.raises(BadPricesError) as refusal:
        rows(parquet(tmp_path, **columns))
    assert says in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("prices.txt", b"ts,price\n1,2\n", "ends in .txt; .csv, .csv.gz, .csv.zst, .parquet or .pq can be read"),
        ("prices", b"ts,price\n1,2\n", "ends in nothing"),
        ("prices.parquet", b"ts,price\n1,2\n", "is not a Parquet file"),
        ("prices.csv", b"PAR1\xff\xfe\x00\x01", "is not a CSV file of text"),
        ("prices.csv", None, "can't be read: No such file or directory"),
        ("prices.pq", None, "can't be read: "),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str, content: bytes | None, says: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadPricesError) as refusal:
        rows(path)
    assert says in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "prices.csv"
    folder.mkdir()
    with pytest.raises(BadPricesError, match="Is a directory"):
        rows(folder)


CANDLES = "ts,open,high,low,close\n0,100,110,90,105\n60000,105,106,95,96\n120000,96,96,96,96\n"
PATHS = [100, 90, 110, 105, 105, 106, 95, 96, 96, 96, 96, 96]


def test_a_candle_is_four_prices_in_the_order_it_closed(tmp_path: Path) -> None:
    path = tmp_path / "candles.csv"
    path.write_text(CANDLES)
    assert rows(path) == [(60_000 * (k // 4), Decimal(price)) for k, price in enumerate(PATHS)]


@pytest.mark.parametrize("ending", [".csv.gz", ".csv.zst", ".CSV.GZ"])
def test_a_packed_csv_is_read_as_the_plain_one(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"candles{ending}"
    with pa.output_stream(
        str(path), compression="gzip" if "z" in ending.lower()[-2:] and "st" not in ending else "zstd"
    ) as file:
        file.write(CANDLES.encode())
    assert [price for _, price in rows(path)] == PATHS


@pytest.mark.parametrize("ending", [".csv.gz", ".csv.zst"])
def test_a_file_that_is_not_packed_as_its_name_says_is_refused(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"candles{ending}"
    path.write_text(CANDLES)
    with pytest.raises(BadPricesError, match=f"{ending}: can't be read: "):
        rows(path)


def test_candles_in_parquet_are_read(tmp_path: Path) -> None:
    columns = {"ts": [1, 2], "open": [1.5, 2.5], "high": [2.0, 3.0], "low": [1.0, 2.25], "close": [1.25, 2.5]}
    expected = [(1, "1.5"), (1, "2"), (1, "1"), (1, "1.25"), (2, "2.5"), (2, "2.25"), (2, "3"), (2, "2.5")]
    assert rows(parquet(tmp_path, **columns)) == [(ts, Decimal(price)) for ts, price in expected]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("2,100,99,90,95", "row 1: high is 99; it must not be below the candle's other prices"),
        ("2,100,110,96,95", "row 1: low is 96; it must not be above the candle's other prices"),
        ("2,100,nan,90,95", "row 1: high is nan; it must be a number above 0"),
        ("2,100,110,,95", "row 1: low is missing; it must be a number above 0"),
        ("2,100,110,90", "row 1: close is missing; it must be a number above 0"),
        ("2,100,110,-90,95", "row 1: low is -90; it must be a number above 0"),
        ("0,100,110,90,95", "row 1: ts is 0, the row before has 1; rows must be oldest first"),
        ("1700000000000000,100,110,90,95", "row 1: ts is 1700000000000000; it must be whole milliseconds since 1970"),
    ],
)
def test_a_candle_that_is_none_is_refused_with_its_row(tmp_path: Path, row: str, says: str) -> None:
    path = tmp_path / "candles.csv"
    path.write_text(f"ts,open,high,low,close\n1,100,110,90,95\n{row}\n3,100,110,90,95\n")
    with pytest.raises(BadPricesError) as refusal:
        rows(path)
    assert says in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("ts,price,open,high,low,close", "must have either price or open,high,low,close, not both"),
        ("ts,open,high,low", "must have one column close"),
        ("open,high,low,close", "must have one column ts"),
    ],
)
def test_columns_that_are_neither_ticks_nor_candles_are_refused(tmp_path: Path, header: str, says: str) -> None:
    path = tmp_path / "mixed.csv"
    path.write_text(f"{header}\n{','.join('1' for _ in header.split(','))}\n")
    with pytest.raises(BadPricesError, match=says):
        rows(path)


def test_only_the_span_is_read_and_what_follows_it_is_not_judged(csv_of: Callable[..., Path]) -> None:
    path = csv_of([(10, 1), (20, 2), (20, 3), (30, 4), (40, "rubbish")])
    for read in (by_row, by_column):
        assert read(path, Span(20, 30)) == [(20, Decimal(2)), (20, Decimal(3))]
        assert read(path, Span(to_ms=31)) == [(10, 1), (20, 2), (20, 3), (30, 4)]
        with pytest.raises(BadPricesError, match="has no rows from 1970-01-01 00:00:00 to"):
            read(path, Span(11, 20))


def test_row_numbers_are_those_of_the_file_also_in_a_span(csv_of: Callable[..., Path]) -> None:
    path = csv_of([(k, k + 1) for k in range(100)])
    assert next(read_prices(path, Span(40, 50))).first_row == next(read_columns(path, Span(40, 50))).first_row == 40


digits = st.integers(1, 10**9).flatmap(
    lambda whole: st.integers(0, 10).map(lambda places: Decimal(whole).scaleb(-places))
)
cells = digits.map(str) | st.sampled_from(
    ["", "x", "-1", "0", "NaN", "1e2", " 7", "1_0", "inf", "0.000000000000000001"]
)


@PATIENT
@given(st.lists(st.tuples(st.integers(0, 50), cells), max_size=12), st.booleans())
def test_both_readers_accept_and_refuse_the_same(
    tmp_path_factory: pytest.TempPathFactory, found: list[tuple[int, str]], in_order: bool
) -> None:
    path = tmp_path_factory.mktemp("prices") / "prices.csv"
    ordered = sorted(found, key=lambda row: row[0]) if in_order else found
    path.write_text("ts,price\n" + "".join(f"{ts},{price}\n" for ts, price in ordered))
    exact, fast = outcome(by_row, path), outcome(by_column, path)
    assert fast == exact or "--path reference" in fast
    assert not isinstance(exact, str) or exact.startswith(f"{path}")


@PATIENT
@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=20), st.sampled_from([2, 6, 17]))
def test_floats_are_the_decimals_they_show(
    tmp_path_factory: pytest.TempPathFactory, prices: list[float], places: int
) -> None:
    shown = [max(round(price, places), 10.0**-places) for price in prices]
    path = parquet(tmp_path_factory.mktemp("prices"), ts=list(range(len(shown))), price=shown)
    exact = [Decimal(repr(price)) for price in shown]
    assert [price for _, price in by_row(path)] == exact
    fast = outcome(by_column, path)
    assert "--path reference" in fast if isinstance(fast, str) else [price for _, price in fast] == exact


def test_parts_with_different_decimals_are_joined_exactly(csv_of: Callable[..., Path], tmp_path: Path) -> None:
    parts = [*read_columns(csv_of([(1, "1.5")])), *read_columns(parquet(tmp_path, ts=[2], price=["2.125"]))]
    whole = joined(parts)
    assert [whole.price(0), whole.price(1)] == [Decimal("1.5"), Decimal("2.125")]
