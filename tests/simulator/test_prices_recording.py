import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from simulator.prices import Clock, PriceSourceError
from simulator.recording import Recording, load_recording
from simulator.sources import PriceSpec, price_source

START_MS = 1_756_000_000_000
TIMES_MS = [START_MS, START_MS, START_MS + 400, START_MS + 60_400]
PRICES = ["3450.1", "3450.25", "3450.1", "3448"]


def saved(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def told(recording: Recording) -> list[tuple[float, Decimal]]:
    first = recording.prices_at(0)[recording.coin]
    return [(0.0, first), *((each.elapsed_s, each.price) for each in recording.prints_after(0))]


WHOLE = [(0.0, Decimal("3450.25")), (0.4, Decimal("3450.1")), (60.4, Decimal(3448))]
"""Position 0 stands after every row of the first moment."""


def test_csv_keeps_gaps_and_prices_exactly(tmp_path: Path) -> None:
    rows = "".join(f"{time},{price}\n" for time, price in zip(TIMES_MS, PRICES, strict=True))
    recording = load_recording(saved(tmp_path / "eth.csv", "ts,price\n" + rows), "ETH")
    assert told(recording) == WHOLE
    assert recording.start_ms == START_MS
    assert recording.coins == ("ETH",)


def test_csv_of_trades_under_hyperliquids_names_leaves_other_coins_out(tmp_path: Path) -> None:
    text = f"coin,side,px,sz,time\nETH,B,3450.5,1,{START_MS}\nBTC,A,85000,1,{START_MS}\nETH,A,3451,1,{START_MS + 5}\n"
    recording = load_recording(saved(tmp_path / "trades.csv", text), "ETH")
    assert told(recording) == [(0.0, Decimal("3450.5")), (0.005, Decimal(3451))]


@pytest.mark.parametrize("price_type", [pyarrow.float64(), pyarrow.string(), pyarrow.decimal128(20, 4)])
@pytest.mark.parametrize("time_type", [pyarrow.int64(), pyarrow.timestamp("ms", tz="UTC"), pyarrow.timestamp("us")])
def test_parquet_of_any_column_type_gives_the_same_path(
    tmp_path: Path, price_type: pyarrow.DataType, time_type: pyarrow.DataType
) -> None:
    as_price = {"double": float, "string": str}.get(str(price_type), Decimal)
    is_moment = str(time_type) != "int64"
    times = [datetime.fromtimestamp(time / 1000, UTC) if is_moment else time for time in TIMES_MS]
    table = pyarrow.table(
        {
            "ts": pyarrow.array(times, time_type),
            "price": pyarrow.array([as_price(price) for price in PRICES], price_type),
            "size": pyarrow.array([1.5] * 4),
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "eth.parquet")
    assert told(load_recording(tmp_path / "eth.parquet", "ETH")) == WHOLE


def test_recording_continues_after_the_last_row_passed(tmp_path: Path) -> None:
    rows = "".join(f"{time},{price}\n" for time, price in zip(TIMES_MS, PRICES, strict=True))
    recording = load_recording(saved(tmp_path / "eth.csv", "ts,price\n" + rows), "ETH")
    assert recording.prices_at(59) == {"ETH": Decimal("3450.1")}
    assert [each.price for each in recording.prints_after(59)] == [3448]
    assert recording.prices_at(1e6) == {"ETH": Decimal(3448)}
    assert list(recording.prints_after(1e6)) == []


async def test_minute_of_silence_passes_in_a_fraction_of_a_second_when_sped_up(tmp_path: Path) -> None:
    rows = "".join(f"{time},{price}\n" for time, price in zip(TIMES_MS, PRICES, strict=True))
    spec = PriceSpec(recording=saved(tmp_path / "eth.csv", "ts,price\n" + rows), coin="ETH")
    clock = Clock(speed=600, start_ms=START_MS, paused=True)
    source = price_source(spec, clock)
    assert source.initial() == {"ETH": Decimal("3450.25")}
    clock.resume()
    async with asyncio.timeout(5):
        points = [point async for point in source.stream()]
    assert [(point.time_ms, point.price) for point in points] == [
        (START_MS + 400, Decimal("3450.1")),
        (START_MS + 60_400, Decimal(3448)),
    ]


REFUSED = {
    "no header": (f"{START_MS},3450\n", r"line 1: the columns are .*`ts,price`"),
    "empty": ("", r"line 1: the columns are \[\]"),
    "no rows": ("ts,price\n", r"has no row of coin ETH: at least one"),
    "other coins": (f"ts,price,coin\n{START_MS},1,SOL\n{START_MS},1,BTC\n", r"no row of coin ETH; it has BTC, SOL"),
    "seconds": ("ts,price\n1756000000,3450\n", r"line 2: ts is '1756000000': whole milliseconds UTC \(13 digits\)"),
    "word as time": ("ts,price\nnow,3450\n", r"line 2: ts is 'now'"),
    "price zero": (f"ts,price\n{START_MS},3450\n{START_MS},0\n", r"line 3: price is '0': a number above 0"),
    "price missing": (f"ts,price\n{START_MS},\n", r"line 2: price is ''"),
    "price nan": (f"ts,price\n{START_MS},nan\n", r"line 2: price is 'nan'"),
    "backwards": (f"ts,price\n{START_MS},1\n{START_MS - 1},1\n", r"line 3: ts is 1755999999999: not before the row ab"),
    "short row": (f"ts,price,size\n{START_MS},1\n", r"line 2: has 2 fields: 3 are needed \(ts,price,size\)"),
}


@pytest.mark.parametrize(("text", "problem"), REFUSED.values(), ids=REFUSED)
def test_refusal_names_the_row_and_the_value(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(PriceSourceError, match=problem):
        load_recording(saved(tmp_path / "eth.csv", text), "ETH")


def test_files_that_are_not_recordings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PriceSourceError, match=r"ending in \.csv or \.parquet"):
        load_recording(tmp_path / "eth.xlsx", "ETH")
    with pytest.raises(PriceSourceError, match="there is no such file"):
        load_recording(tmp_path / "eth.csv", "ETH")
    with pytest.raises(PriceSourceError, match="can't be read"):
        load_recording(saved(tmp_path / "eth.parquet", "not parquet"), "ETH")


def test_only_one_source_and_a_recording_with_its_coin_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(PriceSourceError, match="--scenario and --random-walk are given"):
        price_source(PriceSpec(scenario="full_cycle", random_walk=0), Clock())
    with pytest.raises(PriceSourceError, match="each needs the other"):
        price_source(PriceSpec(recording=tmp_path / "eth.csv"), Clock())
    with pytest.raises(PriceSourceError, match="each needs the other"):
        price_source(PriceSpec(coin="ETH"), Clock())
    with pytest.raises(PriceSourceError, match="--mirror is 'testnet': mainnet is allowed"):
        price_source(PriceSpec(mirror="testnet"), Clock())
