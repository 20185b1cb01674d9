"""What the journal knows of the portfolios that ran, and how each goes on."""

from collections.abc import Awaitable, Callable, Collection

from pydantic import ValidationError

from cli.rebuilt import Goes, RebuiltPortfolio
from journal.standings import LastKnown
from strategy.values import plain
from workflows.portfolio.record import PortfolioRecord, Purchase
from workflows.portfolio.standing import record_of, taken_up


async def rebuilt_portfolio(
    known: LastKnown, signers: Collection[str], at_ms: int, is_there: Callable[[str], Awaitable[bool]]
) -> RebuiltPortfolio:
    """`is_there` tells of a workflow's id whether it runs, or will."""
    as_of_ms = known.newest_ms if known.standing is None else known.standing.at_ms
    found = RebuiltPortfolio(workflow_id=known.trade.workflow_id, as_of_ms=as_of_ms, goes=Goes.NOWHERE)
    if await is_there(known.trade.workflow_id):
        return found.model_copy(update={"goes": Goes.ALREADY})
    if known.standing is None:
        why = "a former release wrote its journal, and kept no record beside it: hypertrader portfolio apply FILE"
        return found.model_copy(update={"why": why})
    try:
        record = record_of(known.trade, known.standing)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        return found.model_copy(update={"why": f"{where} was written by a newer release: use that one"})
    if record.signer not in signers:
        here = " and ".join(sorted(signers))
        why = f"its transfers are signed by {record.signer}, the key here is {here}: bring that key"
        return found.model_copy(update={"why": why})
    allocations = record.book.allocations
    gone = {trade: each.margin_usd for trade, each in allocations.items() if not await is_there(trade)}
    next_seq = max(record.next_seq, known.newest_seq + 1)
    return found.model_copy(
        update={
            **_figures(record),
            "goes": Goes.ON,
            "free_again": gone,
            "record": taken_up(record, as_of_ms, at_ms, next_seq, gone),
        }
    )


def _figures(record: PortfolioRecord) -> dict[str, object]:
    return {
        "name": record.input.name,
        "equity_usd": record.curve.equity_usd,
        "high_water_usd": record.curve.high_water_usd,
        "drawdown": record.curve.drawdown,
        "reserve_usd": record.book.reserve_usd,
        "owed": record.book.owed,
        "spot_usd": record.spot_usd,
        "purchase": "" if record.purchase is None else _on_its_way(record.purchase),
        "stopped": "" if record.latch is None else record.latch.reason,
        "held_back": [each.text for each in record.held_back],
    }


def _on_its_way(purchase: Purchase) -> str:
    match purchase:
        case Purchase(moved=False):
            step = f"{plain(purchase.usd):f} USD move to the spot side"
        case Purchase(order=order) if order is not None:
            step = f"{plain(order.size):f} are bought at {plain(order.limit_price):f} at most"
        case Purchase(back=back) if back is not None:
            step = f"{plain(back.usd):f} USD move back"
        case _:
            step = "the money is on the spot side, and its order is not sent"
    return f"savings in {purchase.coin}: {step}"


def nonces_of(found: RebuiltPortfolio) -> list[int]:
    """Of what is on its way: they are times."""
    purchase = found.record.purchase if found.record is not None else None
    steps = [] if purchase is None else [purchase.transfer, purchase.order, purchase.back]
    return [each.nonce for each in steps if each is not None]
