import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from cli.backtest import register
from strategy.ladder import V7

app = typer.Typer()
app.callback()(lambda: None)
register(app)

EXACT = ["--fee-bps", "0", "--slippage-bps", "0", "--funding", "none", "--lot", "none"]
ASKED = {"--coin": "ETH", "--margin": "1000", "--leverage": "1", "--unit-size": "2"}


def backtest(prices: Path, *more: str, **changes: str) -> Result:
    options = ASKED | {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
    return CliRunner().invoke(
        app, ["backtest", str(prices), *(part for pair in options.items() for part in pair), *more]
    )


@pytest.fixture
def prices(csv_of: Callable[..., Path]) -> Path:
    return csv_of([(60_000 * k, price) for k, price in enumerate([3450, 3456, 3452, 3446, 3440, 3446, 3452, 3456])])


def test_one_json_object_and_a_journal_of_every_unit_change(prices: Path, tmp_path: Path) -> None:
    journal = tmp_path / "decisions.jsonl"
    result = backtest(prices, "--journal", str(journal), "--json", *EXACT)
    assert (result.exit_code, result.stderr) == (0, "")
    summary = json.loads(result.stdout)
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert summary["decisions_sha256"] == hashlib.sha256(journal.read_bytes()).hexdigest()
    assert [line["i"] for line in lines] == [1, 2, 3, 4, 5, 6, 7]
    assert summary["equity_usd"] == lines[-1]["equity"]
    assert (summary["rows"], summary["first_ts"], summary["last_ts"]) == (8, 0, 420_000)
    assert (summary["fees_usd"], summary["slippage_usd"]) == ("0", "0")
    assert sum(summary["phase_ticks"].values()) == 8
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_a_table_for_people(prices: Path) -> None:
    result = backtest(prices)
    assert result.exit_code == 0
    for words in ("ETH v6 at 1x", "1,000.00 USD", "in RETRACEMENT", "cycles, resets", "maximum drawdown", "Sharpe"):
        assert words in result.stdout
    assert result.stdout.count("buy and hold at 1x") == 1
    assert "buy and hold at 3x" in backtest(prices, leverage="3").stdout


def test_losing_more_than_the_margin_is_pointed_out(csv_of: Callable[..., Path]) -> None:
    prices = csv_of([(1, 100), (2, 50), (3, 60)])
    result = backtest(prices, leverage="10", liquidation="none")
    assert result.exit_code == 0 and "more than the margin was lost" in result.stdout
    result = backtest(prices, leverage="10")
    assert result.exit_code == 0 and "LIQUIDATED" in result.stdout and "more than" not in result.stdout


def test_by_default_it_trades_as_the_exchange_does(prices: Path) -> None:
    summary = json.loads(backtest(prices, "--json").stdout)
    assert float(summary["fees_usd"]) > 0 and float(summary["slippage_usd"]) > 0
    own_lot = json.loads(backtest(prices, "--json", lot="0.0001").stdout)
    assert own_lot == summary
    assert json.loads(backtest(prices, "--json", coin="NEW", lot="0.1").stdout)["orders"] < summary["orders"]


@pytest.mark.parametrize("ending", [".json", ".yaml", ".yml"])
def test_a_ladder_from_a_file_trades_as_the_preset_it_says(prices: Path, tmp_path: Path, ending: str) -> None:
    ladder = tmp_path / f"mine{ending}"
    # JSON is YAML, too.
    ladder.write_text(V7.model_dump_json())
    preset, file = (json.loads(backtest(prices, "--json", preset=name).stdout) for name in ("v7", str(ladder)))
    assert preset == file
    assert preset != json.loads(backtest(prices, "--json", preset="v6").stdout)


def test_the_example_ladder_of_the_docs_can_be_traded(prices: Path, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "strategy.md").read_text(encoding="utf-8")
    ladder = tmp_path / "gentle.yaml"
    ladder.write_text(page.split("```yaml\n")[1].split("```")[0])
    result = backtest(prices, "--json", preset=str(ladder))
    assert json.loads(result.stdout)["ladder"] == "gentle"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"coin": ""}, "--coin is missing; it must be the exchange's name"),
        ({"coin": "ETH/USDC"}, "--coin is ETH/USDC; it must be"),
        ({"coin": "NEW"}, "the lot of NEW is not known"),
        ({"margin": "0"}, "--margin is 0; it must be a number above 0"),
        ({"margin": "-1"}, "--margin is -1; it must be a number above 0"),
        ({"margin": "NaN"}, "--margin is NaN; it must be a number above 0"),
        ({"margin": "Infinity"}, "--margin is Infinity; it must be a number above 0"),
        ({"margin": "1e30"}, "--margin is 1e30; it must be"),
        ({"margin": "ten"}, "--margin is ten; it must be a number above 0"),
        ({"margin": ""}, "--margin is missing; it must be a number above 0"),
        ({"margin": "5"}, "margin is 5: at 1x and a price of 3450 it opens 0.0014 ETH"),
        ({"leverage": "0"}, "--leverage is 0; it must be a whole number from 1 to 100"),
        ({"leverage": "1.5"}, "--leverage is 1.5; it must be a whole number"),
        ({"leverage": "101"}, "--leverage is 101; it must be a whole number from 1 to 100"),
        ({"leverage": "26"}, "--leverage is 26; ETH allows 1 to 25"),
        ({"liquidation": "mark"}, "--liquidation is mark; it must be exchange or none"),
        ({"funding": "0.05"}, "--funding is 0.05; it must be a rate per hour from -0.04 to 0.04"),
        ({"from": "yesterday"}, "--from is yesterday; it must be a UTC date"),
        ({"from": "2025-01-02", "to": "2025-01-02"}, "--to is 2025-01-02; it must be after --from"),
        ({"to": "-5"}, "--to is -5; it must be a UTC date"),
        ({"path": "quick"}, "--path is quick; it must be fast or reference"),
        (
            {"path": "reference", "plot": "x.png"},
            "--path is reference; with --report or --plot it must be fast: both decide the same",
        ),
        ({"unit_size": "0"}, "--unit-size is 0; it must be a number above 0"),
        ({"unit_size": ""}, "--unit-size is missing"),
        ({"unit_mode": "half"}, "--unit-mode is half; it must be full or grid"),
        ({"at_reset": "stop"}, "--at-reset is stop; it must be cap or relever or keep"),
        ({"fee_bps": "-1"}, "--fee-bps is -1; it must be a number from 0 to 1000"),
        ({"slippage_bps": "1001"}, "--slippage-bps is 1001; it must be a number from 0 to 1000"),
        ({"funding": "real"}, "--funding is real; it must be none, a rate per hour or a file"),
        ({"lot": "0"}, "--lot is 0; it must be exchange, none or a number above 0"),
        ({"lot": "some"}, "--lot is some; it must be exchange, none or a number above 0"),
        ({"preset": "v8"}, "--preset is v8; it must be v6, v7, fibonacci or a .yaml, .yml or .json file"),
        ({"preset": "missing.yaml"}, "--preset is missing.yaml; it can't be read: No such file"),
        ({"plot": "no/such/folder/p.png"}, "--plot is no/such/folder/p.png; it can't be written: there is no folder"),
        ({"journal": "no/such/folder/j.jsonl"}, "--journal is no/such/folder/j.jsonl; it can't be written"),
    ],
)
def test_a_bad_option_is_one_line_with_field_value_and_what_is_allowed(
    prices: Path, changes: dict[str, str], says: str
) -> None:
    result = backtest(prices, **changes)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr and result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: ")


@pytest.mark.parametrize(
    ("ending", "text", "says"),
    [
        (".json", "{", "it is not a ladder"),
        (".yaml", "a: [", "it is not a ladder"),
        (".yaml", "just words", "Input should be a valid dictionary"),
        (".yaml", "\udcff", "it is not a ladder"),
        (".json", '{"name": "x"}', "fragment: Field required"),
        (".json", V7.model_dump_json().replace('"0.12"', '"1.2"'), "fragment is 1.2: Input should be less than"),
        (".json", V7.model_dump_json().replace('"sell_long":"2"', '"sell_long":"9"', 1), "retracement step 2: 120%"),
        (".json", V7.model_dump_json().replace('"sweep_at":6', '"sweep_at":5'), "recovery heights must rise"),
    ],
)
def test_a_bad_ladder_file_is_one_line_that_names_the_step_or_field(
    prices: Path, tmp_path: Path, ending: str, text: str, says: str
) -> None:
    ladder = tmp_path / f"mine{ending}"
    ladder.write_bytes(text.encode("utf-8", "surrogateescape"))
    result = backtest(prices, preset=str(ladder))
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr and result.stderr.count("\n") == 1


def test_a_journal_that_cannot_take_its_name_is_refused(prices: Path, tmp_path: Path) -> None:
    folder = tmp_path / "decisions"
    folder.mkdir()
    result = backtest(prices, "--journal", str(folder))
    assert (result.exit_code, result.stderr) == (
        2,
        f"error: --journal is {folder}; it can't be written: Is a directory\n",
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["decisions", "prices.csv"]


def test_a_bad_price_leaves_no_journal_behind(csv_of: Callable[..., Path], tmp_path: Path) -> None:
    journal = tmp_path / "decisions.jsonl"
    rows: list[Any] = [(1, 100), (2, 90), (3, "NaN")]
    result = backtest(csv_of(rows), "--journal", str(journal))
    assert result.exit_code == 2
    assert "prices.csv row 2: price is NaN; it must be a number above 0" in result.stderr
    assert result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["prices.csv"]


def test_both_paths_print_the_same(prices: Path) -> None:
    fast, slow = (backtest(prices, "--json", path=path, preset="v7").stdout for path in ("fast", "reference"))
    assert json.loads(fast)["journal_lines"] > 0 and fast == slow


def test_a_span_begins_with_its_own_entry(prices: Path) -> None:
    summary = json.loads(backtest(prices, "--json", **{"from": "1970-01-01T00:02", "to": "360000"}).stdout)
    assert (summary["rows"], summary["first_ts"], summary["last_ts"]) == (4, 120_000, 300_000)
    whole = json.loads(backtest(prices, "--json").stdout)
    assert (whole["rows"], whole["first_ts"]) == (8, 0)
    result = backtest(prices, **{"from": "2030-01-01"})
    assert result.exit_code == 2 and "has no rows from 2030-01-01 00:00:00" in result.stderr


def test_candles_with_funding_from_a_file(tmp_path: Path) -> None:
    candles, rates = tmp_path / "candles.csv", tmp_path / "rates.csv"
    candles.write_text("ts,open,high,low,close\n1,3450,3460,3440,3450\n3600001,3450,3451,3449,3450\n")
    rates.write_text("ts,rate\n3600000,0.001\n")
    paid = json.loads(backtest(candles, "--json", funding=str(rates)).stdout)
    free = json.loads(backtest(candles, "--json").stdout)
    assert (paid["rows"], paid["prices"], free["funding_usd"]) == (2, 8, "0")
    assert (paid["funding_hours_missing"], free["funding_hours_missing"]) == (0, 0)
    # The last price before the hour was 3450.
    assert float(paid["hold"]["equity_usd"]) == pytest.approx(float(free["hold"]["equity_usd"]) - 0.2898 * 3450 / 1000)


def test_hours_that_the_funding_file_lacks_are_told_of(prices: Path, tmp_path: Path) -> None:
    longer, rates = tmp_path / "hours.csv", tmp_path / "rates.csv"
    longer.write_text("ts,price\n0,3450\n10800000,3450\n")
    rates.write_text("ts,rate\n3600000,0.001\n")
    result = backtest(longer, funding=str(rates))
    assert "nothing in 2 hours that" in " ".join(result.stdout.split())


def test_a_spread_is_paid_by_every_order(prices: Path) -> None:
    wide, none = (json.loads(backtest(prices, "--json", half_spread=usd).stdout) for usd in ("0.5", "0"))
    assert float(wide["slippage_usd"]) > float(none["slippage_usd"]) + 0.1


def test_a_report_of_a_folder_that_is_not_there_is_one_line(prices: Path) -> None:
    result = backtest(prices, "--report", "no/such/folder/r.html")
    assert result.exit_code == 2 and "--report is no/such/folder/r.html; it can't be written" in result.stderr
