"""Opening a trade: all is checked before anything is sent, and what is refused ends the workflow with one line."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.failures import refused
    from activities.messages import MarketFacts
    from exchange.port import OutcomeStatus
    from journal.entries import Opened, TradeRef
    from plans.plan import Size
    from plans.sizing import margin_for
    from strategy.backstop import refusal_at_entry
    from strategy.checks import Proposal, refusals
    from strategy.state import Terms, opened
    from strategy.values import Execution, plain, round_down
    from workflows.asked import TradeInput
    from workflows.contracts import Mode, TradeRecord
    from workflows.desk import (
        WORTH_A_NEW_INTENT,
        Desk,
        current_price,
        inspect_market,
        own_trade_id,
        read_position,
    )
    from workflows.diary import Diary, now_ms
    from workflows.neighbours import Neighbours

EXPECTED_SLIPPAGE_BPS = Decimal(1)
TRIES_MAX = 5
RETRY_AFTER = timedelta(seconds=1)
LATE_MS = 3_000
"""An order whose nonce is drawn so long after the position was known waited for a worker."""


async def check_beforehand(asked: TradeInput) -> None:
    """Of a trade that waits for its entry: what would be refused now is. Raises Refused."""
    facts = await inspect_market(asked.network, asked.coin)
    _check(asked, facts, _proposal(asked, facts, asked.entry.price or facts.rules.mid_price))


async def open_trade(record: TradeRecord, desk: Desk, diary: Diary) -> None:
    """Check, set leverage, buy; afterwards the record holds an open trade. Raises Refused with nothing opened."""
    asked = record.input
    if record.granted_usd is not None:
        asked = asked.model_copy(update={"margin_usd": record.granted_usd})
    facts = await inspect_market(asked.network, asked.coin)
    known_ms = now_ms()
    proposal = _proposal(asked, facts, facts.rules.mid_price)
    _check(asked, facts, proposal)
    leverage, margin_usd = proposal.leverage, proposal.margin_usd
    record.account, record.signer = facts.account, facts.signer
    record.asset, record.size_decimals = facts.rules.asset, facts.rules.size_decimals
    record.slippage_bps, record.maintenance_rate = facts.slippage_bps, facts.rules.maintenance_rate
    record.trade = _trade_ref(record)
    if facts.others is not None:
        record.neighbours_found = True
        Neighbours(record).met(facts.others)
    await desk.set_leverage(leverage)
    terms = Terms(
        coin=asked.coin,
        leverage=leverage,
        ladder=asked.ladder,
        at_reset=asked.at_reset,
        lot=facts.rules.lot,
        min_notional_usd=facts.rules.min_notional_usd,
        limits=asked.limits,
    )
    execution, since_ms = await _buy(record, desk, terms, margin_usd, proposal.price, known_ms)
    state = opened(terms, asked.unit_size, margin_usd, execution, unit_mode=asked.unit_mode)
    record.state, record.since_ms, record.last_price = state, since_ms, execution.average_price
    record.opened_ms = record.agreed_ms = record.funding_ms = since_ms + 1
    record.looked_ms = now_ms()
    record.mode = Mode.TRADING
    diary.add(
        Opened,
        coin=asked.coin,
        margin_usd=margin_usd,
        leverage=leverage,
        unit_size=asked.unit_size,
        preset=asked.ladder.name,
        anchor_price=state.grid.anchor_price,
        size=execution.size,
    )


def _trade_ref(record: TradeRecord) -> TradeRef:
    return TradeRef(
        trade_id=own_trade_id(),
        workflow_id=workflow.info().workflow_id,
        coin=record.input.coin,
        account=record.account,
        network=record.input.network,
        opened_at_ms=now_ms(),
        terms=record.input.model_dump(mode="json"),
    )


def _proposal(asked: TradeInput, facts: MarketFacts, price: Decimal) -> Proposal:
    """What is asked for, at this price, with its margin found if the plan gives a size. Raises Refused."""
    rules = facts.rules
    proposal = Proposal(
        coin=asked.coin,
        margin_usd=asked.margin_usd or Decimal(0),
        leverage=asked.leverage if asked.leverage is not None else rules.max_leverage,
        unit_size=asked.unit_size,
        ladder=asked.ladder,
        limits=asked.limits,
        price=price,
        max_leverage=rules.max_leverage,
        maintenance_rate=rules.maintenance_rate,
        min_notional_usd=rules.min_notional_usd,
        lot=rules.lot,
        fee_rate=rules.taker_fee_rate,
        slippage_bps=EXPECTED_SLIPPAGE_BPS,
        accepts_costs=asked.accepts_costs,
    )
    size = Size(portfolio=asked.portfolio) if asked.portfolio is not None else asked.size
    if asked.margin_usd is not None or size is None:
        return proposal
    try:
        margin_usd = margin_for(size, proposal, facts.free_usd)
    except ValueError as error:
        raise refused(str(error)) from error
    return proposal.model_copy(update={"margin_usd": margin_usd})


def _check(asked: TradeInput, facts: MarketFacts, proposal: Proposal) -> None:
    rules, coin, margin_usd = facts.rules, proposal.coin, proposal.margin_usd
    reasons = list(refusals(proposal))
    if not reasons and (refusal := _of_the_backstop(asked, proposal)):
        reasons.append(refusal)
    if rules.only_isolated:
        reasons.append(f"{coin} allows isolated margin only; trades use cross margin: choose another coin")
    reasons += _beside_others(facts, proposal)
    if facts.free_usd < margin_usd:
        reasons.append(f"margin is {margin_usd:f}; the account has {plain(facts.free_usd):f} USD free")
    if reasons:
        raise refused("; ".join(reasons))


def _beside_others(facts: MarketFacts, proposal: Proposal) -> Iterator[str]:
    """The coin has one position and one leverage at the exchange."""
    coin, unclaimed = proposal.coin, facts.unclaimed_size
    if unclaimed and facts.others:
        names = ", ".join(each.name for each in facts.others)
        yield f"the account holds {plain(unclaimed):f} {coin} more than its trades there ({names}): answer that first"
    elif unclaimed:
        yield (
            f"the account already holds {unclaimed:f} {coin} that no trade here opened: close it first "
            f"(hypertrader exchange close {coin})"
        )
    for each in facts.others or ():
        leverage = each.leverage or facts.rules.max_leverage
        if each.is_stopped:
            yield f"trade {each.name} was stopped: release it first (hypertrader trade release {each.name})"
        elif leverage != proposal.leverage:
            yield (
                f"leverage is {proposal.leverage}; the exchange has one for a coin, and trade {each.name} runs with "
                f"{leverage}"
            )


def _of_the_backstop(asked: TradeInput, proposal: Proposal) -> str | None:
    if asked.backstop is None:
        return None
    return refusal_at_entry(
        Terms(coin=asked.coin, leverage=proposal.leverage, ladder=asked.ladder, limits=asked.limits),
        asked.unit_size,
        proposal.margin_usd,
        proposal.price,
        asked.backstop.beyond,
        proposal.maintenance_rate,
    )


def _held_otherwise(coin: str, unclaimed: Decimal, *, is_alone: bool) -> ApplicationError:
    held = f"{plain(unclaimed):f} {coin}{'' if is_alone else ' more than its other trades there'}"
    cure = f"close what is there (hypertrader exchange close {coin})" if is_alone else "answer that in one of them"
    return refused(
        f"the account holds {held}, and this opening bought 0: somebody traded, or it is an opening of a backup that "
        f"had gone on; nothing more is bought: {cure} and start again"
    )


async def _unclaimed(record: TradeRecord) -> Decimal:
    """What the account holds now and no other trade has."""
    asked = record.input
    if record.neighbours:
        return (await inspect_market(asked.network, asked.coin)).unclaimed_size
    return (await read_position(asked.network, asked.coin)).size


async def _buy(
    record: TradeRecord, desk: Desk, terms: Terms, margin_usd: Decimal, price: Decimal, known_ms: int
) -> tuple[Execution, int]:
    """The opening position, in as many orders as the book takes, and the time of its last fill."""
    target = round_down(margin_usd * terms.leverage / price, terms.lot)
    size, cost, fee_usd, since_ms = Decimal(0), Decimal(0), Decimal(0), 0
    for _ in range(TRIES_MAX):
        intent = await desk.prepare(target - size, price)
        if record.close_reason is not None and not desk.as_in_0_1:
            break
        if desk.may_be_restored and intent.nonce - known_ms > LATE_MS:
            if size and record.neighbours:
                # Two that open may not wait for each other's word: no more is bought.
                break
            # An opening of a backup may have gone on without us: what it bought is not bought twice.
            held = await _unclaimed(record)
            if held != size and not size:
                raise _held_otherwise(terms.coin, held, is_alone=not record.neighbours)
            if held != size:
                # A look before anything else is ordered tells what differs.
                record.look_due = "the exchange holds what this opening did not buy"
                break
        desk.note_intent(intent, "opening")
        outcome = await desk.send(intent, "opening")
        known_ms = now_ms()
        if outcome.status is OutcomeStatus.REJECTED and outcome.reason not in WORTH_A_NEW_INTENT and not size:
            raise refused(f"the exchange refused the opening order: {outcome.text}")
        for fill in outcome.fills:
            size, cost, fee_usd = size + fill.size, cost + fill.size * fill.price, fee_usd + fill.fee_usd
            since_ms = max(since_ms, fill.time_ms)
        if (target - size) * price < max(terms.min_notional_usd, terms.lot * price):
            break
        await workflow.sleep(RETRY_AFTER)
        price = await current_price(record.input.network, record.input.coin)
    if not size and record.close_reason is not None:
        raise refused(f"nothing was bought: {record.close_reason}")
    if not size:
        raise refused(f"nothing could be bought within {record.slippage_bps} bps of {price:f} in {TRIES_MAX} tries")
    return Execution(size=size, average_price=cost / size, fee_usd=fee_usd), since_ms
