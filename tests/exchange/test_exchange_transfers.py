"""USDC moves between an account's sides once, whatever gets lost; checked on the venue's own books."""

import asyncio
import random
from decimal import Decimal

import pytest
from eth_account import Account
from hyperliquid.exchange import Exchange as SdkExchange

from exchange.asking import Patience
from exchange.errors import NotSent, Rejected, RejectReason, Unknown
from exchange.gateway import HyperliquidGateway
from exchange.nonces import wall_ms
from exchange.signing import PrivateKey
from exchange.spot_port import TransferIntent, TransferOutcome, TransferStatus
from exchange.transfers import transfer
from tests.exchange.conftest import Stage, control
from tests.exchange.spoiling import SPOILT, Spoil, after, hang_up

SHORT = Patience(visible_after_s=0.15, skew_s=0, give_up_after_s=5, pause_s=0.005, pause_max_s=0.05)
KIND = "usdClassTransfer"
FALSE_ANSWERS = {"200 other shape"}
"""To a transfer this is the true answer: before it, that would be a lie and not a fault."""


async def saved(stage: Stage, usd: str = "100") -> TransferIntent:
    return await stage.gateway.spot.prepare_transfer(Decimal(usd), to_perp=False)


async def run(stage: Stage, intent: TransferIntent, patience: Patience = SHORT) -> TransferOutcome:
    return await transfer(stage.gateway.spot, intent, patience=patience)


def on_spot(stage: Stage) -> Decimal:
    return stage.sim.venue.accounts[stage.gateway.account].spot_usd


async def test_transfer_is_definite_by_its_reply(stage: Stage) -> None:
    outcome = await run(stage, await saved(stage, "100.000001"))
    assert (outcome.status, outcome.proof.established_by, outcome.proof.asks) == (TransferStatus.DONE, "reply", 1)
    assert (await stage.gateway.spot.balance("USDC")).free == on_spot(stage) == Decimal("100.000001")
    assert (await stage.gateway.get_balance("USDC")).free == Decimal("9899.999999")
    back = await stage.gateway.spot.prepare_transfer(Decimal(40), to_perp=True)
    assert (await run(stage, back)).status is TransferStatus.DONE
    assert on_spot(stage) == Decimal("60.000001")


@pytest.mark.parametrize("spoilt", list(SPOILT))
async def test_transfer_whose_reply_is_lost_is_found_and_not_repeated(stage: Stage, spoilt: str) -> None:
    stage.proxy.spoil(KIND, after(SPOILT[spoilt]))
    intent = await saved(stage)
    for _ in range(2):
        assert (await run(stage, intent)).status is TransferStatus.DONE
        assert on_spot(stage) == 100
    assert len({body["signature"]["r"] for body in stage.sent(KIND)}) == 1, "the very same bytes"


@pytest.mark.parametrize("spoilt", sorted(SPOILT.keys() - FALSE_ANSWERS))
async def test_transfer_that_never_arrived_is_sent_again_or_can_never_happen(stage: Stage, spoilt: str) -> None:
    stage.proxy.spoil(KIND, SPOILT[spoilt])
    intent = await saved(stage)
    outcome = await run(stage, intent)
    done = spoilt != "422"
    assert (outcome.status, on_spot(stage)) == ((TransferStatus.DONE, 100) if done else (TransferStatus.NOT_DONE, 0))
    if not done:
        assert outcome.proof.established_by == "noop_fence"
        assert (await run(stage, intent)).status is TransferStatus.NOT_DONE
        assert on_spot(stage) == 0


async def test_refusal_has_its_reason_and_is_remembered_when_its_reply_is_lost(stage: Stage) -> None:
    intent = await saved(stage, "20000")
    outcome = await run(stage, intent)
    assert (outcome.status, outcome.reason) == (TransferStatus.NOT_DONE, RejectReason.MARGIN)
    assert (outcome.text, outcome.proof.established_by) == ("Insufficient balance for withdrawal", "reply")
    await control(stage.sim, "fund", address=stage.gateway.account, usd="20000")
    again = await run(stage, intent)
    assert (again.status, again.proof.established_by) == (TransferStatus.NOT_DONE, "not_in_ledger")
    assert on_spot(stage) == 0, "it stays refused, though it could be paid now"


async def test_an_earlier_transfer_of_the_same_amount_is_not_taken_for_this_one(stage: Stage) -> None:
    assert (await run(stage, await saved(stage, "6000"))).status is TransferStatus.DONE
    stage.proxy.spoil(KIND, after(hang_up))
    second = await saved(stage, "6000")
    assert len(second.seen) == 1
    assert (await run(stage, second)).status is TransferStatus.NOT_DONE
    assert on_spot(stage) == 6000


async def test_nonce_below_the_window_is_refused_for_good(stage: Stage) -> None:
    old = (await saved(stage)).model_copy(update={"nonce": wall_ms() - 3 * 86_400_000})
    outcome = await run(stage, old)
    assert (outcome.status, outcome.reason) == (TransferStatus.NOT_DONE, RejectReason.NONCE)
    assert "nonce too low" in outcome.text and on_spot(stage) == 0


async def test_api_wallet_is_told_that_it_may_not(stage: Stage) -> None:
    master = Account.from_key("0x" + "7a" * 32)
    await control(stage.sim, "fund", address=master.address.lower(), usd="500")
    _, agent_key = await asyncio.to_thread(lambda: SdkExchange(master, stage.sim.url).approve_agent())
    settings = stage.settings.model_copy(update={"account": master.address.lower()})
    agent = HyperliquidGateway.connect(settings, key=PrivateKey(agent_key))
    try:
        assert await stage.gateway.spot.may_transfer() and not await agent.spot.may_transfer()
        outcome = await agent.spot.transfer(await agent.spot.prepare_transfer(Decimal(10), to_perp=False))
        assert (outcome.status, outcome.reason) == (TransferStatus.NOT_DONE, RejectReason.KEY)
        assert outcome.text == f"Must deposit before performing actions. User: {agent.signer}"
    finally:
        await agent.close()


async def test_sub_accounts_money_is_moved_by_its_masters_key(stage: Stage) -> None:
    sub = (await control(stage.sim, "sub_account", master=stage.gateway.signer, name="hedge"))["address"]
    await control(stage.sim, "fund", address=sub, usd="500")
    gateway = HyperliquidGateway.connect(stage.settings.model_copy(update={"account": sub}), key=stage.key)
    try:
        stage.proxy.spoil(KIND, after(hang_up))
        intent = await gateway.spot.prepare_transfer(Decimal(50), to_perp=False)
        assert (await transfer(gateway.spot, intent, patience=SHORT)).proof.established_by == "ledger"
        assert (await gateway.spot.balance("USDC")).total == 50
    finally:
        await gateway.close()
    assert on_spot(stage) == 0


@pytest.mark.parametrize("usd", ["0", "-5", "1.0000001"])
async def test_amount_that_is_none_is_refused_before_it_is_fixed(stage: Stage, usd: str) -> None:
    with pytest.raises(Rejected, match=f"usd is {usd}: an amount above 0 with at most 6 decimals"):
        await saved(stage, usd)


async def test_transfer_of_another_key_is_left_alone(stage: Stage) -> None:
    intent = (await saved(stage)).model_copy(update={"signer": "0x" + "09" * 20})
    with pytest.raises(NotSent, match=f"transfer {intent.nonce} is signed by"):
        await stage.gateway.spot.transfer(intent)
    assert stage.sent(KIND) == []


async def test_exchange_that_stays_silent_leaves_it_unknown_and_a_later_run_settles_it(stage: Stage) -> None:
    stage.proxy.spoil(KIND, after(hang_up), *[hang_up] * 1000)
    intent = await saved(stage)
    with pytest.raises(Unknown, match=f"what became of transfer {intent.nonce} is not established"):
        await run(stage, intent, Patience(give_up_after_s=0.2, pause_s=0.01))
    stage.proxy.spoilt.clear()
    outcome = await run(stage, intent)
    assert (outcome.status, outcome.proof.established_by) == (TransferStatus.DONE, "ledger")
    assert on_spot(stage) == 100


@pytest.mark.parametrize("seed", range(12))
async def test_no_course_of_faults_moves_it_twice_or_tells_a_false_end(stage: Stage, seed: int) -> None:
    chance = random.Random(seed)

    def fault(kind: str) -> Spoil:
        known = SPOILT.keys() - (FALSE_ANSWERS if kind in (KIND, "noop") else set())
        spoil = SPOILT[chance.choice(sorted(known))]
        return after(spoil) if chance.random() < 0.5 else spoil

    for kind in (KIND, "noop", "userNonFundingLedgerUpdates"):
        stage.proxy.spoil(kind, *[fault(kind) for _ in range(chance.randint(0, 3))])
    while True:
        try:
            intent = await saved(stage)
            break
        except (NotSent, Rejected, Unknown):
            continue
    ends = await asyncio.gather(*[run(stage, intent) for _ in range(2)], return_exceptions=True)
    stage.proxy.spoilt.clear()
    final = await run(stage, intent)
    assert on_spot(stage) == (100 if final.status is TransferStatus.DONE else 0)
    told = {end.status for end in ends if isinstance(end, TransferOutcome)}
    assert told <= {final.status}
    assert all(isinstance(end, TransferOutcome | NotSent | Unknown) for end in ends)
