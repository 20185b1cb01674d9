"""A portfolio's terms as files and as fields: what is read, what is refused and how, and what differs."""

import json
from decimal import Decimal
from pathlib import Path

import jsonschema
import pytest
import yaml

from cli.errors import BadOption, CommandFailed
from cli.portfolio_file import changed, changes, first_terms, read_terms
from portfolio.terms import Compounding, PortfolioTerms
from tests.cli.conftest import hypertrader

D = Decimal
TERMS = first_terms(["ETH=40%", "BTC=0.2"])

WHOLE = """\
shares: {ETH: 40%, BTC: 0.2}
reserve_share: 20 %
split: {trade: 50%, reserve: 0.3, savings: 20%}
savings_coin: BTC
compounding: pooled
band: 2.5%
limits:
  max_drawdown: 23%
  warn_at: [50%, 0.8]
  max_leverage: 3
  max_open_orders: 100
"""


def file(tmp_path: Path, text: str, name: str = "main.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_shares_may_be_written_in_percent_and_what_is_not_given_is_the_default(tmp_path: Path) -> None:
    terms = read_terms(file(tmp_path, WHOLE))
    assert (terms.shares, terms.reserve_share, terms.band) == ({"ETH": D("0.4"), "BTC": D("0.2")}, D("0.2"), D("0.025"))
    assert (terms.split.trade, terms.split.savings) == (D("0.5"), D("0.2"))
    assert (terms.savings_coin, terms.compounding) == ("BTC", Compounding.POOLED)
    assert (terms.limits.max_drawdown, terms.limits.warn_at) == (D("0.23"), (D("0.5"), D("0.8")))
    assert (terms.limits.max_leverage, terms.limits.max_open_orders) == (D(3), 100)
    as_json = file(tmp_path, json.dumps({"shares": {"ETH": 0.4, "BTC": "20%"}}), "main.json")
    assert read_terms(as_json) == TERMS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("shares:\n  ETH: 40%\n  BTC: 400%\n", ":3: shares.BTC is 4: it must be less than or equal to 1"),
        ("shares: {ETH: 0.4}\nreserve_share: much\n", ":2: reserve_share is much: it must be a valid decimal"),
        ("shares: {ETH: 0.4}\nlimits:\n  max_leverage: 20%\n", ":3: limits.max_leverage is 20%: it must be a valid"),
        ("shares: {ETH: 0.4}\nreserv_share: 0.2\n", ":2: reserv_share is 0.2: there is no such field"),
        ("shares: {ETH: 0.9}\n", ": the shares are 0.9 together and reserve_share is 0.2; 1 is allowed for both"),
        ("shares: {ETH: 0.4}\nsplit: {trade: 1}\n", ":2: split: trade + reserve + savings is 1.5; together they must"),
        ("shares: {ETH: 0.4}\nlimits:\n  warn_at: [80%, 50%]\n", ":3: limits.warn_at: warn_at is 0.8, 0.5; rising"),
        ("shares: {ETH: 0.4}\ncompounding: lokal\n", ":2: compounding is lokal: it must be 'local' or 'pooled'"),
        ("reserve_share: 0.2\n", ": shares is missing"),
        ("shares: {ETH: 0.4, ETH: 0.3}\n", ": ETH is given twice; once is allowed"),
        ("- ETH\n", ": it holds list; a portfolio is fields and values"),
        ("shares: {ETH\n", ": is not a portfolio: "),
    ],
)
def test_what_is_wrong_is_one_line_with_file_line_field_value_and_what_is_allowed(
    tmp_path: Path, text: str, said: str
) -> None:
    path = file(tmp_path, text)
    with pytest.raises((CommandFailed, ValueError)) as refused:
        read_terms(path)
    assert str(refused.value).startswith(f"{path}{said}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["reserve_share=25%"], [("reserve_share", "0.2", "0.25")]),
        (["shares.ETH=0.3", "shares.SOL=10%"], [("shares.ETH", "0.4", "0.3"), ("shares.SOL", "", "0.1")]),
        (["shares.ETH=none"], [("shares.ETH", "0.4", "")]),
        (["split.trade=60%", "split.savings=10%"], [("split.trade", "0.5", "0.6"), ("split.savings", "0.2", "0.1")]),
        (["limits.warn_at=30%, 60%"], [("limits.warn_at", "0.5, 0.8", "0.3, 0.6")]),
        (["limits.max_leverage=3"], [("limits.max_leverage", "none", "3")]),
        (["savings_coin=BTC"], [("savings_coin", "none", "BTC")]),
        (["band=0.0500"], []),
    ],
)
def test_a_field_is_set_and_only_what_differs_is_shown(words: list[str], found: list[tuple[str, str, str]]) -> None:
    assert changes(TERMS, changed(TERMS, words)) == found


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("reserve_share", "reserve_share sets nothing; FIELD=VALUE such as reserve_share=0.25"),
        ("reserve=0.1", "reserve is no field; shares.COIN, reserve_share, split.trade"),
        ("limits.shares.ETH=1", "limits.shares.ETH is no field"),
        ("limits=3", "limits is 3; name a field of it, such as limits.max_drawdown"),
        ("shares.ETH=90%", "the shares are 1.1 together"),
        ("limits.max_open_orders=few", "limits.max_open_orders is few: it must be a valid integer"),
    ],
)
def test_a_field_that_can_not_be_set_so_is_named(word: str, said: str) -> None:
    with pytest.raises(BadOption) as refused:
        changed(TERMS, [word])
    assert str(refused.value).startswith(said)


def test_the_first_terms_differ_in_everything_from_none() -> None:
    assert changes(None, TERMS)[:3] == [
        ("shares.ETH", "", "0.4"),
        ("shares.BTC", "", "0.2"),
        ("reserve_share", "", "0.2"),
    ]


async def test_a_first_file_is_written_once_and_is_what_the_schema_says(tmp_path: Path) -> None:
    path = tmp_path / "main.yaml"
    done = await hypertrader("portfolio", "new", str(path), "ETH=40%", "BTC=20%", env={})
    assert done.code == 0, done.err
    assert read_terms(path) == TERMS
    schema = json.loads((await hypertrader("portfolio", "schema", env={})).out)
    jsonschema.validate(yaml.safe_load(path.read_text()), schema)
    again = await hypertrader("portfolio", "new", str(path), "ETH=40%", env={})
    assert (again.code, again.error) == (2, f"FILE is {path}; it can't be written: File exists")
    bad = await hypertrader("portfolio", "new", str(tmp_path / "b.yaml"), "ETH", env={})
    assert (bad.code, bad.error[:13]) == (2, "shares.ETH is")


def test_every_field_of_the_terms_can_be_set() -> None:
    """A field that is added is settable, or this says so."""
    flat = {field for field, _, _ in changes(None, TERMS)}
    assert {field.split(".")[0] for field in flat} == set(PortfolioTerms.model_fields)
