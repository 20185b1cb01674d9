from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtest.prices import BadPricesError
from backtest.rows import read_prices

EXPECTED = [(1_700_000_000_000, "3450.25"), (1_700_000_000_000, "3450.2"), (1_700_000_060_000, "3451")]
TIMES = [ts for ts, _ in EXPECTED]


def rows(path: Path) -> list[tuple[int, Decimal]]:
    found: list[tuple[int, Decimal]] = []
    for batch in read_prices(path):
        assert batch.first_row == len(found)
        found += list(zip(batch.times_ms, batch.prices, strict=True))
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
