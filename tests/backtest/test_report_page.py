import base64
import gzip
import json
import re
from collections import Counter
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest.report.data import anchor_price, thinned
from backtest.report.packing import KINDS
from backtest.report.page import report_html, write_report
from backtest.report.tables import monthly_returns
from backtest.result import PHASES, Days, Result
from strategy.ladder import V6
from tests.backtest.results import FIRST_MS, liquidated, market, prices_of, run, setup

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def result() -> Result:
    return run(market(20_000), source="eth-2025.parquet")


class Parsed(HTMLParser):
    """Tags with their attributes, and the text of each table row by its heading."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.rows: dict[str, list[str]] = {}
        self.texts: list[str] = []
        self._cells: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value) for name, value in attributes]
        if tag == "tr":
            self._cells = []
        elif tag in ("th", "td"):
            self._cells.append("")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self._cells:
            self._cells[-1] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "tr":
            self.rows[self._cells[0]] = self._cells[1:]
            self._cells = []


def data_of(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


def unpacked(column: list[str]) -> "np.ndarray[Any, Any]":
    kind, text = column
    return np.frombuffer(gzip.decompress(base64.b64decode(text)), dtype=KINDS[kind])


def test_the_page_asks_for_nothing_from_outside(result: Result) -> None:
    page = Parsed(report_html(result))
    assert not [a for a in page.attributes if a[1] in ("src", "href", "srcset", "action", "data", "poster")]
    assert "link" not in page.tags and "iframe" not in page.tags
    policy = next(value for _, name, value in page.attributes if name == "content" and "default-src" in (value or ""))
    assert policy and "default-src 'none'" in policy and "http" not in policy


@pytest.mark.parametrize(
    "evil", ["</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "<!--<script>"]
)
def test_texts_from_outside_stay_texts(evil: str) -> None:
    prices = market(300)
    plain = Parsed(report_html(run(prices)))
    name = evil[:40]
    page = Parsed(report_html(run(prices, source=evil, coin=evil, ladder=V6.model_copy(update={"name": name}))))
    assert page.tags == plain.tags
    assert page.rows["prices"] == [evil] and page.rows["coin"] == [evil] and page.rows["ladder"] == [name]


def test_figures_parameters_span_and_hash_are_on_the_page(result: Result) -> None:
    html = report_html(result)
    page, summary = Parsed(html), result.summary
    assert page.rows["net profit"] == [f"{summary.pnl_usd:,.2f} USD, {summary.return_on_margin:+.2%} of margin"]
    assert page.rows["cycles, resets"] == [f"{summary.cycles}, {summary.resets}"]
    assert page.rows["from, to"] == ["2025-01-01 00:00, 2025-01-14 21:19"]
    assert page.rows["retracement (sell long, open short)"] == ["(1, 1) (2, 1) (2, 1) (2, 1) (rest, same)"]
    assert page.rows["unit size"] == ["20 USD"]
    assert f"Decisions <code>{summary.decisions_sha256}</code>" in html
    assert page.rows["2025"][0] == page.rows["2025"][-1] == f"{summary.return_on_margin:+.1%}"


def test_the_charts_get_every_sample_and_every_decision(result: Result) -> None:
    data = data_of(report_html(result))
    samples, decisions = result.samples, result.decisions
    assert len(decisions) > 100
    for name in ("price", "equity", "hold", "hold_1x"):
        for side in ("low", "high"):
            expected = getattr(getattr(samples, name), side).astype(np.float32)
            assert np.array_equal(unpacked(data["samples"][f"{name}_{side}"]), expected)
    assert np.array_equal(unpacked(data["samples"]["time_ms"]), samples.time_ms)
    for name in ("time_ms", "price", "phase", "unit", "peak", "valley", "cycle", "short_entry", "equity_usd"):
        column = unpacked(data["decisions"][name])
        assert np.array_equal(column[1:-1], getattr(decisions, name)), name
    ends = unpacked(data["decisions"]["time_ms"])[[0, -1]]
    assert ends.tolist() == [result.summary.first_ts, result.summary.last_ts]
    cycles = data["cycles"]
    assert unpacked(cycles["pnl_usd"]).tolist() == [cycle.pnl_usd for cycle in result.cycles]
    assert unpacked(cycles["finished"]).tolist() == [cycle.finished for cycle in result.cycles]


@pytest.mark.parametrize("path", [(3000, 3025, 3050), (3000, 2975, 2950), (3000, 3001, 3002)])
def test_before_the_first_decision_the_trade_is_what_the_opening_bought(path: tuple[float, ...]) -> None:
    data = data_of(report_html(run(prices_of(*path))))["decisions"]
    assert unpacked(data["long_qty"])[0] == pytest.approx(1.0)
    assert unpacked(data["short_qty"])[0] == 0
    assert PHASES[unpacked(data["phase"])[0]] == "ADVANCE"
    assert unpacked(data["cash_usd"])[0] == pytest.approx(-3000 * 0.00045)


def test_unit_lines_start_at_the_price_the_opening_paid() -> None:
    result = run(prices_of(3000, 3060), slippage_bps=Decimal(10))
    assert anchor_price(result) == pytest.approx(3003)
    assert result.decisions.unit.tolist() == [2]  # lines at 3023 and 3043; with the anchor at 3000 it would be 3


def test_a_spread_moves_the_unit_lines_and_is_among_the_parameters() -> None:
    result = run(prices_of(3000, 3022), half_spread_usd=Decimal("2.5"))
    assert anchor_price(result) == pytest.approx(3002.5)
    assert result.decisions.unit.tolist() == []  # the first line is at 3022.5
    rows = Parsed(report_html(result)).rows
    assert (rows["half spread"], rows["funding"]) == (["2.5 USD"], ["none"])


def test_too_many_decisions_are_thinned_to_the_last_of_each_stretch_of_time(result: Result) -> None:
    decisions = result.decisions
    kept = thinned(decisions, 50)
    assert 2 < len(kept) <= 50 and np.all(np.diff(kept) > 0)
    edges = np.linspace(decisions.time_ms[0], decisions.time_ms[-1], 51)
    for edge in edges[1:]:
        last_before = np.flatnonzero(decisions.time_ms <= edge)[-1]
        assert last_before in kept
    assert thinned(decisions, len(decisions)).tolist() == list(range(len(decisions)))


def test_monthly_returns_start_from_where_the_month_before_ended() -> None:
    day_ms = np.array(
        [FIRST_MS + k * DAY_MS for k in (0, 30, 31, 58, 59)], dtype=np.int64
    )  # 1 and 31 Jan, 1 and 28 Feb
    equity = np.array([900.0, 1200.0, 1100.0, 600.0, 0.0])
    returns = monthly_returns(Days(day_ms, equity, equity, equity), 1000.0)
    assert returns == {(2025, 1): pytest.approx(0.2), (2025, 2): pytest.approx(-0.5), (2025, 3): pytest.approx(-1.0)}


def test_a_month_that_began_with_nothing_has_no_return() -> None:
    day_ms = np.array([FIRST_MS, FIRST_MS + 31 * DAY_MS], dtype=np.int64)
    equity = np.array([0.0, 0.0])
    assert monthly_returns(Days(day_ms, equity, equity, equity), 1000.0) == {(2025, 1): -1.0}


def test_a_liquidated_run_says_so_at_the_top() -> None:
    result = liquidated()
    assert result.summary.liquidated
    html = report_html(result)
    assert '<section class="alarm">Liquidated 2025-01-01 00:03 UTC at 2,700.00 USD' in html
    assert data_of(html)["meta"]["liquidated_price"] == 2700
    assert Parsed(html).rows["held at 25x"][0].count("liquidated") == 1
    assert 'class="alarm">Liquidated' not in report_html(run(market(300)))


def test_a_single_price_makes_a_page() -> None:
    data = data_of(report_html(run(prices_of(3000))))
    assert unpacked(data["decisions"]["long_qty"]).tolist() == [1.0, 1.0]


def test_the_same_run_makes_the_same_file(result: Result, tmp_path: Path) -> None:
    write_report(result, tmp_path / "one.html")
    write_report(result, tmp_path / "two.html")
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["one.html", "two.html"]


def test_a_report_that_cannot_be_written_leaves_nothing(result: Result, tmp_path: Path) -> None:
    (tmp_path / "there.html").mkdir()
    with pytest.raises(OSError):
        write_report(result, tmp_path / "there.html")
    assert [file.name for file in tmp_path.iterdir()] == ["there.html"]


def test_custom_sizes_are_shown_in_full() -> None:
    page = Parsed(report_html(run(prices_of(3000), unit_size=Decimal("12.50"))))
    assert page.rows["unit size"] == ["12.5 USD"]
    assert setup().leverage == 3
