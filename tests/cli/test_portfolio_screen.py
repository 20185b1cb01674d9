"""The picture of a portfolio, from its status and its trades' words alone."""

from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO

from rich.console import Console, RenderableType

from activities.messages import LeftOver, TradeSummary
from cli.portfolio_screen import line, plan_table, portfolio_screen
from portfolio.book import Allocation, Book
from portfolio.curve import Curve
from portfolio.rebalance import Resize
from portfolio.risk import Exposure
from portfolio.terms import PortfolioTerms
from workflows.granting import Leave
from workflows.portfolio.asked import PortfolioInput
from workflows.portfolio.record import HeldBack, Latch, Leaving, PortfolioRecord, Saved, SavingsWait, StopProof
from workflows.portfolio.status import status_view

D = Decimal
DUE = datetime(2026, 11, 23, 6, tzinfo=UTC)


def trade(name: str, coin: str, equity: str, **more: object) -> TradeSummary:
    pnl = D(equity) - 4000
    fields = {"mode": "trading", "phase": "ADVANCE", "unit": 3, "equity_usd": equity, "pnl_usd": pnl, **more}
    return TradeSummary.model_validate({"workflow_id": name, "coin": coin, "network": "paper", **fields})


def record(**more: object) -> PortfolioRecord:
    return PortfolioRecord.model_validate(
        {
            "input": PortfolioInput(),
            "terms": PortfolioTerms.model_validate({"shares": {"ETH": "0.4", "SOL": "0.2"}}),
            "account": "0x" + "ab" * 20,
            "curve": Curve(units=D(10_000), unit_usd=D("0.9"), high_usd=D(1)),
            "looked_ms": 1_700_000_000_000,
            "book": Book(
                capital_usd=D(10_000),
                allocations={
                    "trade-ETH": Allocation(coin="ETH", margin_usd=D(3000)),
                    "trade-ETH-long": Allocation(coin="ETH", margin_usd=D(1000)),
                },
                owed={"ETH": D("12.5")},
            ),
            **more,
        }
    )


TRADES = {"trade-ETH": trade("trade-ETH", "ETH", "4012.34")}


def drawn(picture: RenderableType) -> str:
    console = Console(file=StringIO(), width=80)
    console.print(picture)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def screen_of(state: PortfolioRecord, due: datetime | None = None) -> str:
    return drawn(portfolio_screen(status_view(state, "portfolio-main"), TRADES, due))


def test_the_screen_shows_equity_drawdown_and_every_trade_within_80_columns() -> None:
    exposure = Exposure(equity_usd=D(9000), net_notional_usd={"ETH": D(-3000), "SOL": D(12_000)})
    shown = screen_of(record(exposure=exposure), DUE)
    assert all(len(row) <= 80 for row in shown.splitlines())
    for text in (
        *(
            "portfolio main · paper · 0xabab…abab",
            "equity 9,000.00",
            "high 10,000.00",
            "net exposure +9,000.00",
            "1.7x",
        ),
        *("drawdown    10%", "23%  warns at 11.5%, 18.4%", "4,012.34", "+12.34", "ADVANCE +3", "no answer", "no trade"),
        *("12.50 USD owed, to become ETH", "Mon 2026-11-23 06:00 UTC; band 5%", "as of      2023-11-14 22:13:20"),
    ):
        assert text in shown, text
    # A bar of 27 for 23%: 10% of drawdown are 12 of it.
    assert shown.count("█") == 12


def test_what_was_saved_waits_or_leaves_is_said() -> None:
    saved = [Saved(at_ms=1, coin="ETH", size=D("0.01"), price=D(3000), usd=D(30), of=()) for _ in range(2)]
    leaving = {"ETH": Leaving(leave=Leave())}
    waits = {"ETH": SavingsWait(until_ms=0, usd=D(4), text="the key may not transfer")}
    shown = screen_of(record(saved=saved, spot_usd={"ETH": D(4)}, savings_waits=waits, leaving=leaving))
    assert "4.00 USD on the spot side, to buy ETH" in shown
    assert "0.02 ETH for 60.00 USD, last 1970-01-01" in shown
    assert "they wait: the key may not transfer" in shown
    assert "leaves" in shown and "by hand" in shown


def test_a_stop_and_what_is_held_back_stand_out_with_their_reasons() -> None:
    proof = StopProof(at_ms=1, looks=3, trades=(), left=LeftOver(at_ms=1, positions=(), resting=()))
    latch = Latch(since_ms=1_700_000_000_000, reason="max_drawdown is 23%", trouble="ETH does not answer")
    assert "STOPPED since 2023-11-14 22:13:20: max_drawdown is 23%; ETH does not" in screen_of(record(latch=latch))
    flat = latch.model_copy(update={"proof": proof})
    held = [HeldBack(limit="max_leverage", since_ms=1, text="max_leverage is 3")]
    said = line(status_view(record(latch=flat, held_back=held), "portfolio-main"), TRADES)
    assert said.startswith("main equity 9,000.00 drawdown 10% of 23% | ETH ADVANCE +3 +12.34 | ETH does not answer | ")
    assert "everything is flat, 0 trades are stopped | HELD BACK since 1970-01-01 00:00:00: max_leverage is 3" in said


def test_a_plan_says_what_waits_for_all_long() -> None:
    found = (
        Resize(trade="trade-ETH", coin="ETH", from_usd=D(5000), to_usd=D(4000)),
        Resize(trade="trade-SOL", coin="SOL", from_usd=D(1000), to_usd=D(2000)),
    )
    trades = {**TRADES, "trade-SOL": trade("trade-SOL", "SOL", "1000", fully_long=True)}
    first, second = drawn(plan_table(found, trades, now=False)).splitlines()[1:]
    assert "-1,000.00" in first and "when 100% long again" in first
    assert "+1,000.00" in second and "at once" in second
    assert "when 100% long" not in drawn(plan_table(found, trades, now=True))
