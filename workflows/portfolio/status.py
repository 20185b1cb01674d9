"""What a portfolio says of itself while it runs."""

from decimal import Decimal

from activities.messages import Message
from portfolio.book import Book, investable_usd, reserve_usd, target_usd
from portfolio.risk import Exposure
from portfolio.terms import PortfolioTerms
from workflows.portfolio.record import DueSaving, HeldBack, Latch, Leaving, PortfolioRecord, Purchase, Saved


class CoinLine(Message):
    """One coin of the terms, or one that still has a trade. Money in USD."""

    coin: str
    share: Decimal | None
    target_usd: Decimal
    trades: dict[str, Decimal]
    """What each was given."""
    leaving: bool


class PortfolioStatus(Message):
    """Query `status`. Money in USD."""

    workflow_id: str
    name: str
    network: str
    account: str
    terms: PortfolioTerms
    terms_version: int
    equity_usd: Decimal
    high_water_usd: Decimal
    drawdown: Decimal
    looked_ms: int
    book: Book
    reserve_usd: Decimal
    """What stays cash."""
    investable_usd: Decimal
    coins: tuple[CoinLine, ...]
    exposure: Exposure | None
    latch: Latch | None
    held_back: tuple[HeldBack, ...]
    leaving: dict[str, Leaving]
    left: tuple[str, ...]
    waiting: tuple[str, ...]
    """Trades whose size is to change and did not yet."""
    due: tuple[DueSaving, ...]
    purchase: Purchase | None
    saved: tuple[Saved, ...]
    spot_usd: dict[str, Decimal]
    """USDC on the spot side that is savings and has bought nothing yet, by the coin it is to buy."""
    savings_trouble: str | None
    rebalanced_ms: int
    is_over: bool = False
    notes: tuple[str, ...]


NOTES_SHOWN = 5


def status_view(record: PortfolioRecord, workflow_id: str) -> PortfolioStatus:
    return PortfolioStatus(
        workflow_id=workflow_id,
        name=record.input.name,
        network=record.input.network,
        account=record.account,
        terms=record.terms,
        terms_version=record.terms_version,
        equity_usd=record.curve.equity_usd,
        high_water_usd=record.curve.high_water_usd,
        drawdown=record.curve.drawdown,
        looked_ms=record.looked_ms,
        book=record.book,
        reserve_usd=reserve_usd(record.terms, record.book),
        investable_usd=investable_usd(record.terms, record.book),
        coins=_coins(record),
        exposure=record.exposure,
        latch=record.latch,
        held_back=tuple(record.held_back),
        leaving=record.leaving,
        left=tuple(record.left),
        waiting=(*(each.trade for each in record.to_review), *record.reviewed),
        due=tuple(record.due),
        purchase=record.purchase,
        saved=tuple(record.saved),
        spot_usd=record.spot_usd,
        savings_trouble=record.savings_trouble,
        rebalanced_ms=record.rebalanced_ms,
        is_over=record.is_over,
        notes=tuple(record.notes[-NOTES_SHOWN:]),
    )


def _coins(record: PortfolioRecord) -> tuple[CoinLine, ...]:
    allocations = record.book.allocations
    coins = [*record.terms.shares, *sorted({each.coin for each in allocations.values()} - record.terms.shares.keys())]
    return tuple(
        CoinLine(
            coin=coin,
            share=record.terms.shares.get(coin),
            target_usd=target_usd(record.terms, record.book, coin),
            trades={trade: each.margin_usd for trade, each in allocations.items() if each.coin == coin},
            leaving=coin in record.leaving or coin in record.left,
        )
        for coin in coins
    )


def details_markdown(record: PortfolioRecord) -> str:
    """The Web UI's current details."""
    curve, limits = record.curve, record.terms.limits
    lines = [
        f"### portfolio {record.input.name}",
        f"equity **{curve.equity_usd:.2f}** · high {curve.high_water_usd:.2f} · drawdown {100 * curve.drawdown:.2f}% "
        f"of {100 * limits.max_drawdown:.0f}%",
        "",
        "| coin | share | target | given |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {line.coin}{' (left)' if line.leaving else ''} | {line.share if line.share is not None else '-'} "
        f"| {line.target_usd:.2f} | {sum(line.trades.values(), Decimal(0)):.2f} |"
        for line in _coins(record)
    ]
    owed = ", ".join(f"{usd:.2f} for {coin}" for coin, usd in record.book.owed.items()) or "nothing"
    lines += ["", f"reserve {reserve_usd(record.terms, record.book):.2f} USD · owed to savings: {owed}"]
    if record.latch is not None:
        state = "everything is flat" if record.latch.proof else record.latch.trouble or "being stopped"
        lines += ["", f"**STOPPED**: {record.latch.reason} ({state})"]
    lines += [f"**HELD BACK**: {each.text}" for each in record.held_back]
    lines += [f"- {note}" for note in record.notes[-NOTES_SHOWN:]]
    return "\n".join(lines)
