"""A new version of the plan of a running trade: what may change now, and how it is taken."""

from collections.abc import Iterator
from decimal import Decimal

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from strategy.backstop import backstop_refusal, refusal_at_entry
    from strategy.checks import grid_refusal
    from strategy.fold import regridded
    from strategy.risk import breach
    from strategy.state import TradeState
    from workflows.asked import TradeInput
    from workflows.contracts import Mode, PlanVersion, TradeRecord
    from workflows.desk import current_price
    from workflows.diary import now_ms
    from workflows.opening import check_beforehand

NEVER = ("coin", "network")
"""Another one is another trade."""
BEFORE_THE_ENTRY = ("margin_usd", "size", "portfolio", "leverage", "unit_mode", "entry")
AT_100_PERCENT_LONG = ("unit_size", "ladder")
"""Steps belong to the lines they were taken at."""
MOVES_THE_BACKSTOP = (*AT_100_PERCENT_LONG, "limits", "backstop")
VERSIONS_KEPT = 50
WORDS_MAX = 60


def edit_refusal(record: TradeRecord, asked: TradeInput) -> str | None:
    """Why the trade can't follow this version from here on; None when it can."""
    return next(_refusals(record, asked), None)


def _refusals(record: TradeRecord, asked: TradeInput) -> Iterator[str]:
    changed = changed_fields(record.input, asked)
    if not changed:
        yield "nothing is changed"
    for field in NEVER:
        if field in changed:
            yield f"{field} is {getattr(asked, field)}; a running trade keeps its {getattr(record.input, field)}"
    if asked.expires_ms is not None and asked.expires_ms <= now_ms():
        yield f"expires_ms is {asked.expires_ms}; a moment ahead is allowed"
    state = record.state
    if state is None:
        return
    for field in BEFORE_THE_ENTRY:
        if field in changed:
            yield f"{field} can change only before the entry; close the trade and start the plan anew"
    if type(asked.ladder) is not type(state.terms.ladder):
        yield "the strategy can change only within its kind; close the trade and start the plan anew"
    yield from _of_the_grid(record, state, asked, changed)
    yield from _of_the_limits(record, state, asked)
    yield from _of_the_backstop(record, state, asked, changed)


def _of_the_grid(record: TradeRecord, state: TradeState, asked: TradeInput, changed: frozenset[str]) -> Iterator[str]:
    for field in AT_100_PERCENT_LONG:
        if field in changed and not state.fully_long:
            yield f"{field} can change only at 100% long in ADVANCE (at its high); the trade is in {state.phase}"
    assert record.last_price is not None
    refusal = grid_refusal(
        record.last_price, asked.unit_size, asked.ladder, state.terms.leverage, record.maintenance_rate, asked.limits
    )
    if refusal is not None and changed.intersection((*AT_100_PERCENT_LONG, "limits")):
        yield refusal


def _of_the_limits(record: TradeRecord, state: TradeState, asked: TradeInput) -> Iterator[str]:
    limits, price = asked.limits, record.last_price
    assert price is not None
    if limits.max_leverage is not None and limits.max_leverage < state.terms.leverage:
        yield f"max_leverage is {limits.max_leverage}; the trade has {state.terms.leverage}x"
    equity_usd = state.equity(price)
    peak_usd = max(state.equity_peak_usd, equity_usd)
    broken = breach(
        limits,
        price=price,
        margin_usd=record.margin_usd,
        peak_usd=peak_usd,
        equity_usd=equity_usd,
        taken_usd=state.taken_usd,
    )
    if broken is not None:
        yield f"the trade would end at once: {broken}"


def _of_the_backstop(
    record: TradeRecord, state: TradeState, asked: TradeInput, changed: frozenset[str]
) -> Iterator[str]:
    """As at the opening, of the trade as it stands; and of what it holds when it is 100% long again."""
    price = record.last_price
    assert price is not None
    if asked.backstop is None or not changed.intersection(MOVES_THE_BACKSTOP):
        return
    after = _followed(record, state, asked, price)
    if changed.intersection(AT_100_PERCENT_LONG):
        after = regridded(after, price, asked.unit_size)
    beyond, rate = asked.backstop.beyond, record.maintenance_rate
    for refusal in (
        backstop_refusal(after, beyond, price, rate),
        refusal_at_entry(after.terms, asked.unit_size, record.margin_usd, price, beyond, rate),
    ):
        if refusal is not None:
            yield refusal


async def take_edit(record: TradeRecord) -> str | None:
    """Follow the version that was asked for, a new grid at the current price included; a refusal if it can't be."""
    asked = record.new_input
    assert asked is not None
    changed = changed_fields(record.input, asked)
    refusal = await _refusal_at_the_entry(asked) if record.state is None else None
    if record.state is not None and changed.intersection(AT_100_PERCENT_LONG):
        record.last_price = await current_price(record.input.network, record.input.coin)
    if record.new_input is not asked:
        return "another version came, or a close"
    record.new_input = None
    if refusal := refusal or edit_refusal(record, asked):
        return refusal
    words = "; ".join(_words(record.input, asked, field) for field in sorted(changed - {"plan"}))
    version = asked.plan.version if asked.plan else 0
    record.plan_versions = [*record.plan_versions, PlanVersion(version=version, at_ms=now_ms(), changes=words)][
        -VERSIONS_KEPT:
    ]
    record.input = asked
    if record.mode is Mode.WAITING:
        record.watch = None
    elif record.state is not None and record.last_price is not None:
        record.state = _followed(record, record.state, asked, record.last_price)
        if changed.intersection(AT_100_PERCENT_LONG):
            record.state = regridded(record.state, record.last_price, asked.unit_size)
            _begin_at_now(record)
    return None


async def _refusal_at_the_entry(asked: TradeInput) -> str | None:
    """Nobody may be looking any more when it comes."""
    try:
        await check_beforehand(asked)
    except FailureError as error:
        if is_cancelled_exception(error):
            raise
        return str(error.cause or error)
    return None


def _followed(record: TradeRecord, state: TradeState, asked: TradeInput, price: Decimal) -> TradeState:
    update = {"ladder": asked.ladder, "at_reset": asked.at_reset, "limits": asked.limits}
    return state.changed(
        terms=state.terms.model_copy(update=update),
        # Trades of release 0.1.0 knew neither, for they had no limits.
        margin_usd=record.margin_usd,
        equity_peak_usd=max(state.equity_peak_usd, state.equity(price)),
    )


async def take_unit_size(record: TradeRecord) -> str | None:
    """A new grid at the current price, if the trade is still 100% long; a refusal if it isn't."""
    unit_size = record.new_unit_size
    assert unit_size is not None and record.state is not None
    price = await current_price(record.input.network, record.input.coin)
    if record.new_unit_size != unit_size:
        return "another one came, or a close"
    record.new_unit_size = None
    if refusal := new_grid_refusal(record, price, unit_size):
        return refusal
    record.state, record.last_price = regridded(record.state, price, unit_size), price
    _begin_at_now(record)
    return None


def new_grid_refusal(record: TradeRecord, price: Decimal, unit_size: Decimal) -> str | None:
    """Why the trade can't count in such units from `price` on; None when it can."""
    assert record.state is not None
    if not record.state.fully_long:
        return f"unit size can change only at 100% long in ADVANCE; the trade is in {record.state.phase}"
    terms, rate, backstop = record.state.terms, record.maintenance_rate, record.input.backstop
    refusal = grid_refusal(price, unit_size, terms.ladder, terms.leverage, rate, terms.limits)
    if refusal is not None or backstop is None:
        return refusal
    return backstop_refusal(regridded(record.state, price, unit_size), backstop.beyond, price, rate)


def _begin_at_now(record: TradeRecord) -> None:
    """What was told before is of the former grid."""
    record.inbox.clear()
    record.since_ms = max(record.since_ms, now_ms())


def changed_fields(before: TradeInput, after: TradeInput) -> frozenset[str]:
    return frozenset(name for name in TradeInput.model_fields if getattr(before, name) != getattr(after, name))


def _words(before: TradeInput, after: TradeInput, field: str) -> str:
    was, now = (str(value.model_dump(mode="json", include={field})[field])[:WORDS_MAX] for value in (before, after))
    return f"{field}: {was} -> {now}"
