"""A trade of the unit ladder over recorded prices, through the code that trades live.

Two paths come to the same journal, byte for byte: the reference takes every price by itself, the fast one looks for
the prices at which something happens.

    summary = run_fast(setup, read_columns(path), Journal())        streams: memory for one stretch of prices
    result = run_whole(setup, joined(read_columns(path)), ...)      the summary and all there is to draw
"""

from collections.abc import Iterable
from enum import StrEnum

from backtest import fast, reference
from backtest.funding import NO_FUNDING, Funding
from backtest.journal import Journal
from backtest.prices import PriceBatch, Stretch
from backtest.record import cycles_of, days_of, decisions_of, samples_of
from backtest.result import Result
from backtest.session import Session
from backtest.setup import Setup
from backtest.summary import Summary
from strategy.values import exact


class PricePath(StrEnum):
    FAST = "fast"
    REFERENCE = "reference"


@exact
def run_reference(
    setup: Setup, batches: Iterable[PriceBatch], journal: Journal, funding: Funding = NO_FUNDING
) -> Summary:
    """Trade the recording from its first price, the entry, to its last or a liquidation; nothing is closed at the end.

    Raises BadPricesError from the reader, CannotOpenError, ValueError when there are no prices.
    """
    session: Session | None = None
    for batch in batches:
        session = session or Session(setup, batch.prices[0], batch.times_ms[0], journal, funding)
        reference.follow(session, batch)
        if session.ended:
            break
    return _summary(session)


@exact
def run_fast(setup: Setup, stretches: Iterable[Stretch], journal: Journal, funding: Funding = NO_FUNDING) -> Summary:
    """The same by the fast path."""
    session: Session | None = None
    for stretch in stretches:
        session = session or Session(setup, stretch.price(0), int(stretch.times_ms[0]), journal, funding)
        fast.follow(session, stretch)
        if session.ended:
            break
    return _summary(session)


def _summary(session: Session | None) -> Summary:
    if session is None:
        raise ValueError("there are no prices; at least one is needed")
    return session.summary()


@exact
def run_whole(
    setup: Setup, prices: Stretch, journal: Journal, funding: Funding = NO_FUNDING, *, source: str = ""
) -> Result:
    """`prices`, at least one, are all of them; every decision is kept. By the fast path. Raises CannotOpenError."""
    session = Session(setup, prices.price(0), int(prices.times_ms[0]), journal, funding, keep=True)
    fast.follow(session, prices)
    summary = session.summary()
    return Result(
        setup=setup,
        source=source,
        funding=str(funding),
        summary=summary,
        decisions=decisions_of(session.trade.decisions or ()),
        cycles=cycles_of(session, float(prices.price(0))),
        samples=samples_of(session, prices),
        days=days_of(session),
    )
