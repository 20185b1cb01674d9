"""What actions on an account do: leverage, isolated margin, transfers, sub-accounts, agents, approvals."""

from decimal import Decimal

from simulator import margin
from simulator.actions import DEFAULT, ActionRefused, Perform, Response
from simulator.margin import leverage_of
from simulator.markets import MARKETS, Market
from simulator.placing import Sender
from simulator.records import ZERO, Account, Agent, Leverage
from simulator.requests import (
    CreateSubAccountAction,
    ScheduleCancelAction,
    SetReferrerAction,
    SubAccountTransferAction,
    UpdateIsolatedMarginAction,
    UpdateLeverageAction,
)
from simulator.spot_books import held_usd
from simulator.user_signed import ApproveAgentAction, ApproveBuilderFeeAction, UsdClassTransferAction
from simulator.venue import Venue
from simulator.wire import MICRO_USD, lower_address, number, wire_decimal

NAMED_AGENTS = 3
AGENTS_PER_SUB_ACCOUNT = 2
MAX_AGENT_MS = 180 * 86_400_000
SCHEDULE_VOLUME_USD = Decimal(1_000_000)
SUB_ACCOUNT_VOLUME_USD = Decimal(100_000)


def _market(asset: int) -> Market:
    if asset >= len(MARKETS):
        raise ActionRefused("Invalid asset")
    return MARKETS[asset]


def _update_leverage(action: UpdateLeverageAction, venue: Venue, sender: Sender) -> Response:
    market, account = _market(action.asset), sender.account
    if not 1 <= action.leverage <= market.max_leverage:
        raise ActionRefused("Invalid leverage value")
    if action.isCross and market.only_isolated:
        raise ActionRefused("Cross margin is not allowed for this asset.")
    held = account.positions.get(market.coin)
    before = leverage_of(account, market)
    if held and before.is_cross != action.isCross:
        raise ActionRefused("Cannot switch leverage type with open position.")
    if held and action.leverage < before.value:
        _check_lower_leverage(venue, account, market, action)
    account.leverages[market.coin] = Leverage(is_cross=action.isCross, value=action.leverage)
    venue.changes.accounts.add(account.address)
    return DEFAULT


def _check_lower_leverage(venue: Venue, account: Account, market: Market, action: UpdateLeverageAction) -> None:
    position, mark = account.positions[market.coin], venue.mark(market.coin)
    needed = abs(position.size) * mark / action.leverage
    if not action.isCross:
        if needed > margin.margin_used(account, position, mark):
            raise ActionRefused(
                "Isolated position does not have sufficient margin available to decrease leverage. "
                "To decrease leverage, add margin to the position."
            )
        return
    free = margin.available(account, venue.open_orders(account.address), venue.all_marks)
    if needed - margin.margin_used(account, position, mark) > free:
        raise ActionRefused(
            "Cross position does not have sufficient margin available to decrease leverage. "
            "To decrease leverage, deposit more collateral."
        )


def _update_isolated_margin(action: UpdateIsolatedMarginAction, venue: Venue, sender: Sender) -> Response:
    market, account = _market(action.asset), sender.account
    position = account.positions.get(market.coin)
    if position is None or leverage_of(account, market).is_cross:
        raise ActionRefused("Position does not use isolated margin.")
    amount, mark = action.ntli * MICRO_USD, venue.mark(market.coin)
    if amount > margin.available(account, venue.open_orders(account.address), venue.all_marks):
        raise ActionRefused("Insufficient margin to add to the position.")
    left = margin.margin_used(account, position, mark) + amount
    if amount < 0 and left < margin.initial_margin(account, market, position.size, mark):
        raise ActionRefused("Insufficient margin in the position to remove.")
    account.cross_usd -= amount
    position.isolated_usd += amount
    venue.changes.accounts.add(account.address)
    return DEFAULT


def _schedule_cancel(action: ScheduleCancelAction, venue: Venue, sender: Sender) -> Response:
    traded = sender.account.volume_usd
    if traded < SCHEDULE_VOLUME_USD:
        raise ActionRefused(
            "Cannot set scheduled cancel time until enough volume traded. "
            f"Required: ${SCHEDULE_VOLUME_USD}. Traded: ${number(traded)}."
        )
    raise ActionRefused("Scheduled cancels are not simulated.")


def _set_referrer(action: SetReferrerAction, venue: Venue, sender: Sender) -> Response:
    if action.code not in venue.config.referral_codes:
        raise ActionRefused("Referral code not registered")
    sender.account.referral_code = action.code
    venue.changes.accounts.add(sender.account.address)
    return DEFAULT


def _create_sub_account(action: CreateSubAccountAction, venue: Venue, sender: Sender) -> Response:
    traded = sender.account.volume_usd
    if traded < SUB_ACCOUNT_VOLUME_USD:
        raise ActionRefused(
            "Cannot create sub-accounts until enough volume traded. "
            f"Required: ${SUB_ACCOUNT_VOLUME_USD}. Traded: ${number(traded)}."
        )
    opened = venue.open_sub_account(sender.account, action.name)
    return {"type": "createSubAccount", "data": opened.address}


def _sub_account_transfer(action: SubAccountTransferAction, venue: Venue, sender: Sender) -> Response:
    master, sub = sender.account, venue.accounts.get(action.subAccountUser)
    source, target = (master, sub) if action.isDeposit else (sub, master)
    if sub is None or source is None or target is None or sub.master != master.address:
        raise ActionRefused(f"Invalid sub-account transfer from {master.address} to {action.subAccountUser}")
    amount = action.usd * MICRO_USD
    _check_withdrawable(venue, source, amount)
    source.cross_usd -= amount
    target.cross_usd += amount
    delta: dict[str, object] = {
        "type": "subAccountTransfer",
        "usdc": number(amount),
        "user": source.address,
        "destination": target.address,
    }
    for account in (source, target):
        venue.record_movement(account, dict(delta))
    return DEFAULT


def _check_withdrawable(venue: Venue, account: Account, amount: Decimal) -> None:
    if amount > margin.withdrawable(account, venue.open_orders(account.address), venue.all_marks):
        raise ActionRefused("Insufficient balance for withdrawal")


def _sub_account(venue: Venue, master: Account, text: str) -> Account:
    """The sub-account a transfer names behind its amount."""
    try:
        address = lower_address(text)
    except ValueError as error:
        raise ActionRefused("Invalid amount") from error
    if address not in master.sub_accounts:
        raise ActionRefused(f"Vault not registered: {address}")
    return venue.accounts[address]


def _usd_class_transfer(action: UsdClassTransferAction, venue: Venue, sender: Sender) -> Response:
    text, _, sub_account = action.amount.partition(" subaccount:")
    account = _sub_account(venue, sender.account, sub_account) if sub_account else sender.account
    try:
        amount = wire_decimal(text)
    except ValueError as error:
        raise ActionRefused("Invalid amount") from error
    if amount <= ZERO or amount % MICRO_USD:
        raise ActionRefused("Invalid amount")
    if action.toPerp:
        if amount > account.spot_usd - held_usd(venue.open_orders(account.address)):
            raise ActionRefused("Insufficient balance for withdrawal")
    else:
        _check_withdrawable(venue, account, amount)
    signed = amount if action.toPerp else -amount
    account.cross_usd += signed
    account.spot_usd -= signed
    venue.record_movement(account, {"type": "accountClassTransfer", "usdc": number(amount), "toPerp": action.toPerp})
    return DEFAULT


def _approve_agent(action: ApproveAgentAction, venue: Venue, sender: Sender) -> Response:
    account = sender.account
    name, _, expiry = (action.agentName or "").partition(" valid_until ")
    _check_agent_address(venue, account, name, action.agentAddress)
    until = _agent_expiry(expiry, venue.wall_ms())
    named = [other for other in account.agents if other and other != name]
    if name and len(named) >= NAMED_AGENTS + AGENTS_PER_SUB_ACCOUNT * len(account.sub_accounts):
        raise ActionRefused("Too many extra agents.")
    replaced = account.agents.get(name)
    if replaced:
        del venue.agents[replaced.address]
    account.agents[name] = Agent(name=name, address=action.agentAddress, valid_until_ms=until)
    venue.agents[action.agentAddress] = account.address
    venue.changes.accounts.add(account.address)
    return DEFAULT


def _check_agent_address(venue: Venue, account: Account, name: str, address: str) -> None:
    """An address signs for one account under one name; approving it again renews that."""
    held = account.agents.get(name)
    renews = held is not None and held.address == address
    if address in venue.accounts or (address in venue.agents and not renews):
        raise ActionRefused("Extra agent already used.")


def _agent_expiry(text: str, now_ms: int) -> int | None:
    if not text:
        return None
    until = int(text) if text.isdecimal() else 0
    if not now_ms < until <= now_ms + MAX_AGENT_MS:
        raise ActionRefused("Invalid agent expiry.")
    return until


def _approve_builder_fee(action: ApproveBuilderFeeAction, venue: Venue, sender: Sender) -> Response:
    # Percent to tenths of a basis point: 0.01 % is one basis point, which is 10.
    rate = Decimal(action.maxFeeRate.removesuffix("%")) * 1000
    sender.account.builder_fees[action.builder] = int(rate)
    venue.changes.accounts.add(sender.account.address)
    return DEFAULT


ACCOUNT_ACTIONS: dict[type, Perform] = {
    UpdateLeverageAction: _update_leverage,
    UpdateIsolatedMarginAction: _update_isolated_margin,
    ScheduleCancelAction: _schedule_cancel,
    SetReferrerAction: _set_referrer,
    CreateSubAccountAction: _create_sub_account,
    SubAccountTransferAction: _sub_account_transfer,
    UsdClassTransferAction: _usd_class_transfer,
    ApproveAgentAction: _approve_agent,
    ApproveBuilderFeeAction: _approve_builder_fee,
}
