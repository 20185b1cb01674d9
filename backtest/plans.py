"""A plan as a backtest opens it: at the first price, whatever its entry waits for; it does not expire."""

from decimal import Decimal

from backtest.options import BadOptionError, read_setup
from backtest.setup import Setup
from plans.plan import TradingPlan
from plans.sizing import margin_for
from strategy.checks import Proposal, refusals
from strategy.values import ONE, ZERO, plain


def setup_of(plan: TradingPlan, price: Decimal, *, free_usd: Decimal, **costs: str) -> Setup:
    """The plan's trade at `price`, its margin reckoned from its size; `costs` are `read_setup`'s. Raises
    BadOptionError."""
    market = read_setup(
        coin=plan.coin,
        margin="1",
        leverage=str(plan.leverage),
        unit_size=f"{plan.unit_size:f}",
        preset="v6",
        unit_mode=plan.unit_mode,
        at_reset=plan.at_reset,
        **costs,
    )
    setup = market.model_copy(update={"ladder": plan.ladder, "limits": plan.trade_limits})
    try:
        margin_usd = margin_for(plan.size, _proposal(setup, price), free_usd)
    except ValueError as error:
        raise BadOptionError(f"plan {plan.name} at {plain(price):f}: {error}") from error
    return setup.model_copy(update={"margin_usd": margin_usd})


def refused_live(plan: TradingPlan, setup: Setup, price: Decimal) -> tuple[str, ...]:
    """Why it would not be opened at `price`, were it no backtest."""
    return refusals(_proposal(setup, price).model_copy(update={"accepts_costs": plan.accepts_costs}))


def _proposal(setup: Setup, price: Decimal) -> Proposal:
    most = setup.tiers[0].max_leverage if setup.tiers else setup.leverage
    return Proposal(
        coin=setup.coin,
        margin_usd=setup.margin_usd,
        leverage=setup.leverage,
        unit_size=setup.unit_size,
        ladder=setup.ladder,
        limits=setup.limits,
        price=price,
        max_leverage=most,
        maintenance_rate=ONE / (2 * most) if setup.tiers else ZERO,
        min_notional_usd=setup.min_notional_usd,
        lot=setup.lot,
        fee_rate=setup.fee_bps / 10_000,
        slippage_bps=setup.slippage_bps + setup.half_spread_usd / price * 10_000,
    )
