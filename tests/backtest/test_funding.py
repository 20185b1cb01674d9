from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtest.funding import HOUR_MS, BadFundingError, read_funding


def test_none_and_a_rate() -> None:
    assert not read_funding("none")
    assert read_funding("-0.00001").rate(5 * HOUR_MS) == Decimal("-0.00001")


def test_a_file_has_a_rate_for_each_hour_it_names(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    # The exchange stamps its payments some milliseconds past the hour.
    path.write_text(f"ts,rate,coin\n{HOUR_MS + 17},0.0000125,ETH\n{3 * HOUR_MS},-1e-6,ETH\n")
    found = read_funding(str(path))
    assert [found.rate(hour * HOUR_MS) for hour in range(4)] == [0, Decimal("0.0000125"), 0, Decimal("-0.000001")]
    table = pa.table({"rate": [0.0000125, -1e-6], "ts": [HOUR_MS + 17, 3 * HOUR_MS]})
    pq.write_table(table, tmp_path / "rates.parquet")
    assert read_funding(str(tmp_path / "rates.parquet")) == found


def test_hours_the_file_does_not_have_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text("ts,rate\n" + "".join(f"{hour * HOUR_MS},0.0001\n" for hour in (1, 2, 4, 9)))
    found = read_funding(str(path))
    assert found.missing_hours(HOUR_MS - 1, 5 * HOUR_MS) == 2  # of 1 to 5, the hours 3 and 5
    assert found.missing_hours(HOUR_MS, 2 * HOUR_MS) == 0
    assert read_funding("0.0001").missing_hours(0, 9 * HOUR_MS) == 0
    assert [str(read_funding(text)) for text in ("none", "0.00001", str(path))] == [
        "none",
        "0.00001 an hour",
        "rates.csv",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ts,rate\n1,x\n", "row 0: ts is 1, rate is x; they must be whole milliseconds"),
        ("ts,rate\n,0\n", "row 0: ts is missing"),
        ("ts,rate\n1\n", "row 0: ts is 1, rate is missing"),
        ("ts,rate\n-1,0\n", "row 0: ts is -1; it must be whole milliseconds"),
        ("ts,rate\n1735689600,0\n", "row 0: ts is 1735689600, which looks like seconds"),
        ("ts,rate\n1,0.041\n", "row 0: rate is 0.041; it must be a rate per hour from -0.04 to 0.04"),
        ("ts,rate\n1,NaN\n", "row 0: rate is NaN; it must be a rate"),
        ("time,rate\n1,0\n", "its header is time,rate, it must have columns ts and rate"),
        ("ts,rate\n", "has no rows"),
        ("", "its header is empty"),
        ("ts,rate\n\udcff,1\n", "can't be read"),
    ],
)
def test_a_bad_file_is_one_line_that_names_the_row(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "rates.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadFundingError) as refusal:
        read_funding(str(path))
    assert says in str(refusal.value) and str(path) in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("text", ["0.05", "-1", "Infinity", "missing.csv", "NaN"])
def test_what_is_neither_a_rate_nor_a_file_is_refused(text: str) -> None:
    with pytest.raises(BadFundingError, match=f"--funding is {text}; it must be"):
        read_funding(text)


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rates.parquet"
    path.write_text("ts,rate\n")
    with pytest.raises(BadFundingError, match="can't be read"):
        read_funding(str(path))
