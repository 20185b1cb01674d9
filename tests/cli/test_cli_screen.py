"""The picture and the line of a trade, from its status alone."""

from decimal import Decimal
from io import StringIO

import pytest
from rich.console import Console

from cli.screen import equity_now, line, screen
from workflows.contracts import LastOrder, Mode, OpenAsk
from workflows.granting import Leave, MarginAsk, Occasion
from workflows.status import LedgerView, TradeStatus

D = Decimal
LEDGER = LedgerView(
    long=D("5"),
    short=D("2"),
    short_entry=D("3454"),
    cash=D("1000"),
    allocation=D("1000"),
    equity=D("990"),
    net=D("3"),
    price=D("3450"),
)
ORDER = LastOrder(
    time_ms=1_700_000_000_000, purpose="retracement -2", size=D("-3"), price=D("3450.1"), status="filled", cloid="0x1"
)
STATUS = TradeStatus.model_validate(
    {
        "workflow_id": "trade-ETH",
        "trade_id": "trade-ETH/1",
        "network": "paper",
        "coin": "ETH",
        "mode": "trading",
        "phase": "RETRACEMENT",
        "unit": 1,
        "peak": 3,
        "valley": 0,
        "cycle": 1,
        "anchor_price": "3448",
        "unit_size": "2",
        "preset": "v6",
        "leverage": 10,
        "margin_usd": "1000",
        "price": "3450",
        "trigger_up": "3452",
        "trigger_down": "3448",
        "steps": 2,
        "order_in_flight": False,
        "attention": None,
        "ledger": LEDGER,
        "last_orders": (ORDER,),
        "notes": (),
    }
)


def drawn(status: TradeStatus, price: Decimal | None = None) -> str:
    console = Console(file=StringIO(), width=80)
    console.print(screen(status, price, "http://127.0.0.1:8233"))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_equity_follows_the_price_by_what_the_exchange_holds() -> None:
    assert equity_now(LEDGER, D("3460")) == 990 + 3 * 10


@pytest.mark.parametrize(
    "text", ["RETRACEMENT", "unit 1", "peak 3", "3452.00", "3448.00", "1,020.00", "+20.00", "retracement -2", "8233"]
)
def test_the_screen_shows(text: str) -> None:
    assert text in drawn(STATUS, D("3460"))


def test_the_screen_fits_eighty_columns() -> None:
    assert max(len(row) for row in drawn(STATUS).splitlines()) <= 80


def test_the_bar_is_as_long_as_ever_and_divided_by_value() -> None:
    bar = next(row for row in drawn(STATUS).splitlines() if "█" in row)
    assert bar.count("█") == 72
    assert "long 69%" in drawn(STATUS)


def test_negative_cash_and_attention_are_shown() -> None:
    ledger = LEDGER.model_copy(update={"cash": D("-12.5")})
    text = drawn(STATUS.model_copy(update={"ledger": ledger, "attention": "margin", "notes": ("pause refused",)}))
    assert "-12.50" in text
    assert "ATTENTION: margin" in text
    assert "pause refused" in text


def test_a_trade_that_is_opening_has_a_picture_too() -> None:
    nothing_yet = {"phase": None, "ledger": None, "mode": Mode.OPENING, "last_orders": (), "price": None}
    assert "no orders yet" in drawn(STATUS.model_copy(update=nothing_yet))


def test_a_trade_of_a_plan_shows_what_its_versions_changed() -> None:
    plan = {"coin": "ETH", "unit_size": 2, "plan": {"name": "dip", "version": 3}}
    version = {"version": 3, "at_ms": 1_700_000_000_000, "changes": "leverage: 2 -> 3"}
    text = drawn(TradeStatus.model_validate({**STATUS.model_dump(), "input": plan, "plan_versions": [version]}))
    assert "plan dip, version 3" in text
    assert "version 3 since 11-14 22:13: leverage: 2 -> 3" in text


def test_what_the_portfolio_took_is_profit_and_what_it_will_do_is_shown() -> None:
    ask = MarginAsk(ask_id="1/2", occasion=Occasion.RESET, trade="trade-ETH", coin="ETH", cycle=1)
    status = STATUS.model_copy(
        update={
            "ledger": LEDGER.model_copy(update={"taken_usd": D(40)}),
            "portfolio": "main",
            "open_ask": OpenAsk(ask=ask, asked_at_ms=1_700_000_000_000, holds=True),
            "leave": Leave(profit_usd=D(50)),
        }
    )
    text = drawn(status, D("3460"))
    assert "+60.00" in text and "(+60.00)" in line(status, D("3460"))
    assert "portfolio main: took 40.00 USD since the opening" in text
    assert "asked for its margin at 2023-11-14 22:13:20 UTC (reset): no answer yet" in text
    assert "no new cycle: it closes at the next RESET, or once 50 USD are earned" in text


def test_a_trade_that_waits_for_its_margin_says_so() -> None:
    nothing_yet = {"phase": None, "ledger": None, "mode": Mode.ASKING, "last_orders": (), "price": None}
    text = drawn(STATUS.model_copy(update={**nothing_yet, "portfolio": "main"}))
    assert "waits for its margin from portfolio main" in text


def test_a_hint_stands_under_the_picture() -> None:
    console = Console(file=StringIO(), width=80)
    console.print(screen(STATUS, None, None, "closed; start the next"))
    assert isinstance(console.file, StringIO)
    assert "closed; start the next" in console.file.getvalue()


def test_the_line_says_the_same_on_one_line() -> None:
    said = line(STATUS, D("3460"))
    assert "\n" not in said
    for text in ("ETH RETRACEMENT", "unit 1", "equity 1020.00 (+20.00)", "sell 3 at 3450.10 (retracement -2)"):
        assert text in said
