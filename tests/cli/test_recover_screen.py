"""What `hypertrader recover` says of a portfolio, from what was found alone."""

from decimal import Decimal

import pytest

from cli.rebuilt import Goes, RebuiltPortfolio, Survey
from cli.recover_screen import show
from settings import Settings

D = Decimal
MAIN = RebuiltPortfolio(
    workflow_id="portfolio-main",
    name="main",
    as_of_ms=1_800_000_000_000,
    goes=Goes.ON,
    equity_usd=D("9123.456"),
    high_water_usd=D("12345.67"),
    reserve_usd=D("77.5"),
    owed={"ETH": D("5.25"), "BTC": D("4")},
    spot_usd={},
    purchase="savings in ETH: 10 USD move to the spot side",
    stopped="max_drawdown is 23%",
    held_back=["max_leverage is 5; 60000 USD are held on 9123"],
    free_again={"trade-SOL": D("200.10")},
)
LOST = RebuiltPortfolio(workflow_id="portfolio-old", as_of_ms=0, goes=Goes.NOWHERE, why="bring that key")


def told(*portfolios: RebuiltPortfolio, capsys: pytest.CaptureFixture[str]) -> str:
    show(Survey(network="paper", account="0xa", portfolios=list(portfolios), trades=[], unexplained=[]), Settings())
    return capsys.readouterr().out


def test_a_portfolio_is_shown_with_its_promises_and_with_what_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(MAIN, LOST, capsys=capsys)
    (row,) = [line for line in text.splitlines() if line.split()[:1] == ["portfolio-main"]]
    assert row.split()[-7:] == ["9,123.46", "12,345.67", "77.50", "9.25", "0.00", "goes", "on"]
    for words in (
        "everything is stopped, and stays so: max_drawdown is 23%",
        "held back: max_leverage is 5",
        "on its way: savings in ETH: 10 USD move to the spot side",
        "trade-SOL does not go on: the 200.1 USD it was given are free again",
        'hypertrader portfolio schedule weekly --at "mon 06:00"\n',
        "portfolio-old: bring that key",
    ):
        assert words in text
    assert "started" not in text


def test_a_portfolio_of_another_name_is_scheduled_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    other = MAIN.model_copy(update={"workflow_id": "portfolio-b", "name": "b", "started": True})
    text = told(other, capsys=capsys)
    assert '--at "mon 06:00" --name b' in text and "started: portfolio-b" in text
