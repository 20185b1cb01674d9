"""From a plan and its market to what is rehearsed. The market is the exchange's, or with a given price the one this
version knows, so that nothing has to answer."""

from decimal import Decimal

from pydantic import BaseModel, ConfigDict

from backtest.markets import LOWEST_MAX_LEVERAGE, MIN_NOTIONAL_USD, SIZE_DECIMALS, lot_of, tiers_of
from cli.errors import BadOption, CommandFailed
from cli.venue import BASE_FEES, Venue
from plans.plan import TradingPlan
from plans.preview import Preview, preview
from plans.sizing import margin_for
from settings import Settings
from strategy.checks import Proposal
from strategy.values import QUANTUM, ZERO, plain

EXPECTED_SLIPPAGE_BPS = Decimal(1)


class Market(BaseModel):
    """What a trade would be opened in. Rates as shares of notional."""

    model_config = ConfigDict(frozen=True)

    coin: str
    price: Decimal
    max_leverage: int
    maintenance_rate: Decimal
    min_notional_usd: Decimal
    lot: Decimal
    fee_rate: Decimal
    source: str


async def market_of(symbol: str, price: Decimal | None, settings: Settings) -> Market:
    """Raises CommandFailed for a coin that is not listed, or no answer."""
    if price is not None:
        return known_market(symbol.split("/")[0], price)
    try:
        async with Venue(settings) as venue:
            rules = await venue.rules(await venue.coin_of(symbol))
    except CommandFailed as error:
        raise CommandFailed(f"{error}; or give --price, and nothing is asked") from error
    return Market(
        coin=rules.coin,
        price=rules.mid_price,
        max_leverage=rules.max_leverage,
        maintenance_rate=rules.maintenance_rate,
        min_notional_usd=rules.min_notional_usd,
        lot=rules.lot,
        fee_rate=rules.taker_fee_rate,
        source=f"{settings.network}, now",
    )


def known_market(coin: str, price: Decimal) -> Market:
    if price <= 0:
        raise BadOption(f"--price is {price:f}; it must be more than 0 USD")
    known = coin in SIZE_DECIMALS
    most = tiers_of(coin, LOWEST_MAX_LEVERAGE)[0].max_leverage
    return Market(
        coin=coin,
        price=price,
        max_leverage=most,
        maintenance_rate=Decimal(1) / (2 * most),
        min_notional_usd=MIN_NOTIONAL_USD,
        lot=lot_of(coin) if known else QUANTUM,
        fee_rate=Decimal(BASE_FEES["userCrossRate"]),
        source="as this version knows it" if known else f"{coin} is not known without the exchange",
    )


async def free_usd(plan: TradingPlan, given: Decimal | None, settings: Settings) -> Decimal:
    """What the account has free, asked only for a plan whose margin depends on it. Raises CommandFailed."""
    if given is not None or (plan.size.portfolio_share is None and plan.size.portfolio is None):
        return given or ZERO
    from exchange.network import SetupRefused, load_key

    try:
        account = settings.account or load_key(settings, make=False).address
        async with Venue(settings) as venue:
            return await venue.free_usd(account)
    except (SetupRefused, CommandFailed) as error:
        portfolio = plan.size.portfolio
        why = f"portfolio {portfolio} gives the margin" if portfolio else "the plan takes a share of what is free"
        raise CommandFailed(f"{why}: give --free ({error})") from error


def previewed(
    plan: TradingPlan, market: Market, free: Decimal, *, slippage_bps: Decimal, high_price: Decimal | None = None
) -> Preview:
    """Raises CommandFailed where nothing can be rehearsed."""
    asked = Proposal(
        coin=market.coin,
        margin_usd=ZERO,
        leverage=plan.leverage,
        unit_size=plan.unit_size,
        ladder=plan.ladder,
        limits=plan.trade_limits,
        price=market.price,
        max_leverage=market.max_leverage,
        maintenance_rate=market.maintenance_rate,
        min_notional_usd=market.min_notional_usd,
        lot=market.lot,
        fee_rate=market.fee_rate,
        slippage_bps=slippage_bps,
        accepts_costs=plan.accepts_costs,
    )
    try:
        sized = asked.model_copy(update={"margin_usd": margin_for(plan.size, asked, free)})
        return preview(
            sized,
            at_reset=plan.at_reset,
            unit_mode=plan.unit_mode,
            backstop=plan.backstop,
            high_price=high_price,
        )
    except ValueError as error:
        raise CommandFailed(f"plan {plan.name} at {plain(market.price):f}: {error}") from error
