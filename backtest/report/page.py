"""The file: a template, the styles, the plotting library and our script, and the run's own data, in one."""

from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from backtest.journal import as_text
from backtest.report.data import DECISIONS_MAX, page_data
from backtest.report.packing import inline_json
from backtest.report.tables import alarm, cards, fact_rows, figures, months_table, parameters, utc
from backtest.result import Result

SCRIPTS = ("series.js", "charts.js", "page.js")


def write_report(result: Result, path: Path) -> None:
    """Write the page of a run to `path`, whole or not at all. Raises OSError."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text(report_html(result), encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def report_html(result: Result) -> str:
    """The page of a run: about 100 kB, and what its samples and decisions take."""
    setup, summary = result.setup, result.summary
    title = f"{setup.coin} {setup.ladder.name} at {setup.leverage}x, unit {as_text(setup.unit_size)} USD"
    days = (summary.last_ts - summary.first_ts) / 86_400_000
    span = f"{result.source}: {utc(summary.first_ts)} to {utc(summary.last_ts)} UTC, {days:,.1f} days"
    return Template(_asset("page.html")).substitute(
        title=escape(title),
        lead=escape(f"{span}, {summary.prices:,} prices. Margin {summary.margin_usd:,f} USD."),
        style=_asset("uplot/uPlot.min.css") + _asset("style.css"),
        alarm=alarm(summary),
        cards=cards(result),
        months=months_table(result.days, float(summary.margin_usd)),
        figures=fact_rows(figures(summary)),
        parameters=fact_rows(parameters(result)),
        decisions_sha256=escape(summary.decisions_sha256),
        note=escape(_note(result)),
        data=inline_json(page_data(result)),
        uplot=_asset("uplot/uPlot.iife.min.js"),
        script="".join(map(_asset, SCRIPTS)),
    )


def _note(result: Result) -> str:
    count = len(result.decisions)
    if count <= DECISIONS_MAX:
        return ""
    return f"Of {count:,} decisions at most {DECISIONS_MAX:,} are drawn: the last of each stretch of time."


def _asset(name: str) -> str:
    return files("backtest.report").joinpath(name).read_text(encoding="utf-8")
