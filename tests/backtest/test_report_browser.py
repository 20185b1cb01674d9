"""The page in a real browser; where none is installed, only the file is looked at (test_report_page.py)."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest.plot import phase_bands
from backtest.report.page import write_report
from backtest.result import PHASES, Result
from strategy.ladder import V7
from tests.backtest.browser import Page, browser, installed
from tests.backtest.results import liquidated, market, prices_of, run

pytestmark = pytest.mark.skipif(installed() is None, reason="no browser is installed")
READY = "document.body && document.body.dataset.ready"
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def result() -> Result:
    return run(market(30_000), ladder=V7, unit_size=12, source="eth-2025.parquet")


@pytest.fixture(scope="module")
async def page(result: Result, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Page]:
    home: Path = tmp_path_factory.mktemp("browser")
    write_report(result, home / "report.html")
    async with browser(home / "profile") as page:
        await page.open(home / "report.html", READY)
        yield page
        assert page.problems == []


async def show(page: Page, from_ms: float, to_ms: float) -> None:
    await page.evaluate(f"show({from_ms}, {to_ms})")


async def drawn(page: Page, chart: str) -> list[list[float]]:
    """The chart's columns as they are on the screen."""
    return list(json.loads(await page.evaluate(f"JSON.stringify(page.charts.{chart}.data)")))


async def test_every_chart_shows_something(page: Page) -> None:
    await page.evaluate("page.showAll()")
    for name in ("price", "equity", "drawdown", "book"):
        blank = await page.evaluate(
            f"""(() => {{const c = page.charts.{name}.ctx.canvas;
            const pixels = new Uint32Array(c.getContext("2d").getImageData(0, 0, c.width, c.height).data.buffer);
            return new Set(pixels).size < 10}})()"""
        )
        assert not blank, name


@pytest.mark.parametrize("share", [1.0, 0.3, 0.02])
async def test_no_extreme_is_lost_at_any_zoom(page: Page, result: Result, share: float) -> None:
    first_ms, last_ms = result.summary.first_ts, result.summary.last_ts
    start_ms = first_ms + (last_ms - first_ms) * 0.4 * (share < 1)
    end_ms = start_ms + (last_ms - first_ms) * share
    await show(page, start_ms, end_ms)
    samples = result.samples
    seen = (samples.time_ms >= start_ms) & (samples.time_ms <= end_ms)
    for chart, band in (("price", samples.price), ("equity", samples.equity)):
        _, lows, highs, *_ = await drawn(page, chart)
        assert min(lows) <= band.low[seen].min() * (1 + 1e-6)
        assert max(highs) >= band.high[seen].max() * (1 - 1e-6)
        assert len(lows) <= 1500


async def test_phases_are_where_the_decisions_put_them(page: Page, result: Result) -> None:
    first_ms, last_ms = result.summary.first_ts, result.summary.last_ts
    text = await page.evaluate(
        f"JSON.stringify(phaseBands(page.book, {first_ms}, {last_ms}, {last_ms}, 600))",
    )
    at = np.linspace(first_ms, last_ms, 601)[:-1] + (last_ms - first_ms) / 1200

    def phases(bands: list[Any]) -> list[str]:
        ends = np.array([end for *_, end in bands])
        return [bands[int(np.searchsorted(ends, moment))][0] for moment in at]

    in_browser = [(str(PHASES[phase]), start, end) for phase, start, end in json.loads(text)]
    by_plot = [(str(phase), start, end) for start, end, phase in phase_bands(result, 600)]
    differing = sum(one != other for one, other in zip(phases(in_browser), phases(by_plot), strict=True))
    assert differing <= 2  # two phases of the same length in one column
    assert len({phase for phase, *_ in in_browser}) == 4


async def test_the_cursor_tells_the_last_decision_before_it(page: Page, result: Result) -> None:
    decisions = result.decisions
    k = int(np.flatnonzero(decisions.order_qty < 0)[3])
    time_ms = float(decisions.time_ms[k])
    await show(page, time_ms - DAY_MS / 4, time_ms + DAY_MS / 4)
    text = await page.evaluate(
        f"""(() => {{const u = page.charts.price;
        u.setCursor({{left: u.valToPos({time_ms} + 500, "x"), top: 50}}); readOut();
        return document.getElementById("decision").textContent}})()"""
    )
    phase, unit = PHASES[int(decisions.phase[k])], decisions.unit[k]
    assert f"price {decisions.price[k]:,.2f} · {phase} unit {unit} (peak {decisions.peak[k]}" in text
    assert "sell " in text and f"equity {decisions.equity_usd[k]:,.2f}" in text


async def test_shares_of_the_book_add_up(page: Page, result: Result) -> None:
    await page.evaluate("page.showAll()")
    parts = json.loads(await page.evaluate("JSON.stringify(page.parts)"))
    total = np.sum([np.array(parts[name], dtype=float) for name in ("long", "short", "cash")], axis=0)
    assert np.nanmax(np.abs(total - 1)) < 1e-4
    assert max(parts["short"]) > 0.3 and max(parts["long"]) > 0.99


async def test_a_click_on_a_cycle_shows_it(page: Page, result: Result) -> None:
    cycle = result.cycles[1]
    await page.evaluate("document.querySelectorAll('#cycles tbody tr')[1].click()")
    from_ms, to_ms = await page.evaluate("[page.from, page.to]")
    assert from_ms <= cycle.start_ms < cycle.end_ms <= to_ms
    assert to_ms - from_ms < (cycle.end_ms - cycle.start_ms) * 1.2 + 1000
    assert await page.evaluate("location.hash") == f"#{round(from_ms)}-{round(to_ms)}"


async def test_cycles_sort_by_profit_and_turn_pages(page: Page, result: Result) -> None:
    click = "[...document.querySelectorAll('#cycles th button')].find(b => b.textContent === 'profit or loss').click()"
    await page.evaluate(click)
    best = await page.evaluate("document.querySelector('#cycles tbody tr td').textContent")
    assert int(best) == max(result.cycles, key=lambda cycle: cycle.pnl_usd).number
    await page.evaluate("document.getElementById('cycles-after').click()")
    seen = await page.evaluate("document.getElementById('cycles-seen').textContent")
    assert seen == f"26 to {min(50, len(result.cycles))} of {len(result.cycles)}"


async def test_hiding_a_name_hides_its_whole_band(page: Page) -> None:
    await page.evaluate("page.charts.equity.setSeries(3, {show: false})")
    assert await page.evaluate("page.charts.equity.series[4].show") is False
    await page.evaluate("page.charts.equity.setSeries(3, {show: true})")
    assert await page.evaluate("page.charts.equity.series[4].show") is True


async def test_it_is_readable_in_the_dark(page: Page) -> None:
    def luminance(colour: str) -> float:
        red, green, blue = (int(colour.strip()[at : at + 2], 16) for at in (1, 3, 5))
        return (0.299 * red + 0.587 * green + 0.114 * blue) / 255

    for scheme, dark in (("dark", True), ("light", False)):
        await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        card, text = [luminance(await page.evaluate(f"colour('{name}')")) for name in ("card", "text")]
        assert (card < 0.2 and text > 0.8) is dark and (card > 0.8 and text < 0.2) is not dark
        # The browser tells the page a moment later.
        await page.wait_for("page.charts.price.axes[0].stroke() === colour('text-2')")


@pytest.mark.parametrize("width", [1400, 500])
async def test_nothing_is_wider_than_its_card(page: Page, width: int) -> None:
    await page.call("Emulation.setDeviceMetricsOverride", width=width, height=1000, deviceScaleFactor=1, mobile=False)
    # The page hears of it a moment later.
    await page.wait_for(f"innerWidth === {width} && page.charts.price.width < {width}")
    inner = "(e) => e.getBoundingClientRect().right - parseFloat(getComputedStyle(e).paddingRight)"
    over_px = await page.evaluate(
        f"""Math.max(...[...document.querySelectorAll("#charts .u-wrap")].map((chart) =>
        chart.getBoundingClientRect().right)) - ({inner})(document.getElementById("charts"))"""
    )
    assert over_px <= 0.5
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    await page.call("Emulation.clearDeviceMetricsOverride")


async def test_a_year_of_minutes_is_on_the_screen_in_seconds(tmp_path: Path) -> None:
    write_report(run(market(525_600), unit_size=30), tmp_path / "year.html")
    async with browser(tmp_path / "profile") as page:
        await page.open(tmp_path / "year.html", READY)
        ready_ms = int(await page.evaluate(READY))
        assert page.problems == []
    # 0.3 to 1.5 s where this was written; the rest is for a busy machine.
    assert ready_ms < 10_000


async def test_the_smallest_runs_open_and_small_prices_are_shown_in_full(tmp_path: Path) -> None:
    write_report(run(prices_of(3000)), tmp_path / "one.html")
    write_report(run(prices_of(0.12, 0.13, 0.12, 0.11, 0.14), unit_size="0.01"), tmp_path / "cents.html")
    async with browser(tmp_path / "profile") as page:
        for name in ("one", "cents"):
            await page.open(tmp_path / f"{name}.html", READY)
            assert page.problems == []
        assert await page.evaluate("priced(0.1234567)") == "0.123457"
        assert await page.evaluate("priced(65432.1)") == "65,432.10"


async def test_a_liquidated_run_opens(tmp_path: Path) -> None:
    write_report(liquidated(), tmp_path / "dead.html")
    async with browser(tmp_path / "profile") as page:
        await page.open(tmp_path / "dead.html", READY)
        assert page.problems == []
        assert await page.evaluate("page.meta.liquidated_price") == 2700
