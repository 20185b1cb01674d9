from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.candles import INTERVALS, Candles

DAY_MS = 86_400_000
# Sunday 24 August 2025, 21:45:10 UTC.
NOW_MS = 1_756_071_910_000
MINUTE_MS = NOW_MS - 10_000


def filled(*prints: tuple[str, str, int]) -> Candles:
    candles = Candles()
    for price, size, time_ms in prints:
        candles.add("ETH", Decimal(price), Decimal(size), time_ms)
    return candles


def test_candle_in_the_wire_shape() -> None:
    candles = filled(("3450", "0.5", NOW_MS), ("3452.50", "1", NOW_MS + 1), ("3449.1", "0.25", NOW_MS + 49_999))
    assert candles.snapshot("ETH", "1m", 0, NOW_MS) == [
        {
            "t": MINUTE_MS,
            "T": MINUTE_MS + 59_999,
            "s": "ETH",
            "i": "1m",
            "o": "3450.0",
            "c": "3449.1",
            "h": "3452.5",
            "l": "3449.1",
            "v": "1.75",
            "n": 3,
        }
    ]
    assert candles.forming("ETH", "1m") == candles.snapshot("ETH", "1m", 0, NOW_MS)[-1]


def test_print_on_the_boundary_opens_the_next_candle() -> None:
    candles = filled(("10", "1", MINUTE_MS + 59_999), ("11", "1", MINUTE_MS + 60_000))
    assert [(each["t"], each["o"]) for each in candles.snapshot("ETH", "1m", 0, NOW_MS + DAY_MS)] == [
        (MINUTE_MS, "10.0"),
        (MINUTE_MS + 60_000, "11.0"),
    ]


STARTS = {
    "1m": "2025-08-24T21:45",
    "3m": "2025-08-24T21:45",
    "5m": "2025-08-24T21:45",
    "15m": "2025-08-24T21:45",
    "30m": "2025-08-24T21:30",
    "1h": "2025-08-24T21:00",
    "2h": "2025-08-24T20:00",
    "4h": "2025-08-24T20:00",
    "8h": "2025-08-24T16:00",
    "12h": "2025-08-24T12:00",
    "1d": "2025-08-24T00:00",
    "3d": "2025-08-22T00:00",
    "1w": "2025-08-21T00:00",
    "1M": "2025-08-01T00:00",
}


def test_every_interval_starts_where_the_exchange_starts_it() -> None:
    candles = filled(("3450", "1", NOW_MS))
    starts = {}
    for interval in INTERVALS:
        candle = candles.forming("ETH", interval)
        assert candle is not None
        start = datetime.fromtimestamp(int(candle["t"]) / 1000, UTC)
        starts[interval] = start.strftime("%Y-%m-%dT%H:%M")
    assert starts == STARTS


def test_months_have_their_own_lengths_and_december_is_followed_by_january() -> None:
    november, february_end = 1_763_000_000_000, 1_772_323_199_999  # 13 November 2025 and the last ms of February 2026
    candles = filled(("10", "1", november), ("11", "1", february_end), ("12", "1", february_end + 1))
    months = candles.snapshot("ETH", "1M", 0, february_end + 1)
    lengths = [(int(each["T"]) + 1 - int(each["t"])) // DAY_MS for each in months]
    assert lengths == [30, 31, 31, 28, 31]
    assert [each["n"] for each in months] == [1, 0, 0, 1, 1]


def test_minutes_without_a_print_are_flat() -> None:
    candles = filled(("10", "1", MINUTE_MS), ("12", "2", MINUTE_MS + 180_000))
    shown = candles.snapshot("ETH", "1m", 0, NOW_MS + DAY_MS)
    assert [(each["o"], each["h"], each["l"], each["c"], each["v"], each["n"]) for each in shown] == [
        ("10.0", "10.0", "10.0", "10.0", "1.0", 1),
        ("10.0", "10.0", "10.0", "10.0", "0.0", 0),
        ("10.0", "10.0", "10.0", "10.0", "0.0", 0),
        ("12.0", "12.0", "12.0", "12.0", "2.0", 1),
    ]


def test_newest_5000_are_kept_also_over_a_gap_of_years() -> None:
    candles = filled(("10", "1", NOW_MS - 900 * DAY_MS), ("12", "1", NOW_MS))
    shown = candles.snapshot("ETH", "1m", 0, NOW_MS)
    assert len(shown) == 5000
    assert shown[-1]["c"] == "12.0"
    assert shown[-1]["t"] == MINUTE_MS
    assert shown[0]["t"] == MINUTE_MS - 4999 * 60_000
    assert len(candles.snapshot("ETH", "1d", 0, NOW_MS)) == 901


def test_snapshot_holds_what_begins_within_the_range() -> None:
    candles = filled(*((str(10 + minute), "1", MINUTE_MS + minute * 60_000) for minute in range(5)))
    shown = candles.snapshot("ETH", "1m", MINUTE_MS + 60_000, MINUTE_MS + 180_000)
    assert [each["o"] for each in shown] == ["11.0", "12.0", "13.0"]


def test_print_older_than_the_forming_candle_does_not_reopen_a_closed_one() -> None:
    candles = filled(("10", "1", MINUTE_MS), ("11", "1", MINUTE_MS + 60_000), ("15", "1", MINUTE_MS + 1))
    first, forming = candles.snapshot("ETH", "1m", 0, NOW_MS + DAY_MS)
    assert (first["h"], first["n"]) == ("10.0", 1)
    assert (forming["c"], forming["n"]) == ("15.0", 2)


def test_unknown_interval_is_refused_and_unknown_coin_is_empty() -> None:
    candles = filled(("10", "1", NOW_MS))
    with pytest.raises(ValueError, match="interval is '7m': 1m, 3m"):
        candles.snapshot("ETH", "7m", 0, NOW_MS)
    assert candles.snapshot("SOL", "1m", 0, NOW_MS) == []
    assert candles.forming("SOL", "1m") is None


@settings(max_examples=50)
@given(
    prints=st.lists(
        st.tuples(st.decimals("0.001", "99999", places=3), st.decimals(0, 10, places=2), st.integers(0, 4 * 3_600_000)),
        min_size=1,
        max_size=60,
    )
)
def test_hours_hold_exactly_what_their_minutes_hold(prints: list[tuple[Decimal, Decimal, int]]) -> None:
    candles = Candles()
    for price, size, offset_ms in sorted(prints, key=lambda each: each[2]):
        candles.add("ETH", price, size, MINUTE_MS + offset_ms)
    minutes = candles.snapshot("ETH", "1m", 0, NOW_MS + DAY_MS)
    for hour in candles.snapshot("ETH", "1h", 0, NOW_MS + DAY_MS):
        inside = [each for each in minutes if int(hour["t"]) <= int(each["t"]) <= int(hour["T"])]
        traded = [each for each in inside if each["n"]] or inside
        assert hour["h"] == max((each["h"] for each in traded), key=lambda text: Decimal(str(text)))
        assert hour["l"] == min((each["l"] for each in traded), key=lambda text: Decimal(str(text)))
        assert hour["n"] == sum(int(each["n"]) for each in inside)
        assert hour["c"] == inside[-1]["c"]
        assert Decimal(str(hour["v"])) == sum(Decimal(str(each["v"])) for each in inside)
