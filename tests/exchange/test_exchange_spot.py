"""Tokens are bought and sold by intents like any other order, and an account's money is read for what it is."""

import json
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web
from ccxt.async_support import hyperliquid
from eth_account import Account
from hyperliquid.utils.signing import sign_usd_class_transfer_action
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange import account
from exchange.actions import transfer_action
from exchange.errors import Rejected, RejectReason, Unknown
from exchange.execution import execute
from exchange.port import Intent, OrderOutcome, OutcomeStatus, Side
from exchange.signing import PrivateKey, sign_transfer
from exchange.spot_port import SpotExchange, SpotRules, TransferIntent
from exchange.spot_shapes import ledger_updates, spot_rules
from tests.exchange.conftest import Stage, control
from tests.exchange.spoiling import SPOILT, Forward, after, answer
from tests.exchange.test_exchange_transfers import SHORT, run, saved

ME, OTHER = "0x" + "0a" * 20, "0x" + "0b" * 20


@pytest.fixture
async def saver(stage: Stage) -> Stage:
    """With 1000 USDC on the spot side."""
    await run(stage, await saved(stage, "1000"))
    return stage


def buy_of(stage: Stage, rules: SpotRules, usd: str, **terms: Any) -> Intent:
    limit = rules.limit_price(Side.BUY, Decimal(50))
    size = rules.size_for(Decimal(usd), limit)
    return stage.intent(Side.BUY, str(size), str(limit), coin=rules.coin, asset=rules.asset, **terms)


async def test_the_spot_side_is_the_port(stage: Stage) -> None:
    port: SpotExchange = stage.gateway.spot  # mypy compares the signatures
    assert (await port.rules("HYPE")).coin == "@107"


@pytest.mark.parametrize("name", ["ETH", "UETH", "ueth/usdc", "@151"])
async def test_pair_is_found_by_the_names_people_use(stage: Stage, name: str) -> None:
    rules = await stage.gateway.spot.rules(name)
    assert (rules.coin, rules.asset, rules.token, rules.size_decimals) == ("@151", 10151, "UETH", 4)
    assert (rules.mid_price, rules.taker_fee_rate, rules.min_notional_usd) == (3450, Decimal("0.0007"), 10)


async def test_coin_without_a_pair_and_a_name_of_two_tokens_are_refused(stage: Stage) -> None:
    with pytest.raises(Rejected, match="coin DOGE has no spot pair against USDC"):
        await stage.gateway.spot.rules("DOGE")
    meta, contexts = await stage.gateway._transport.info({"type": "spotMetaAndAssetCtxs"})
    meta["tokens"].append(meta["tokens"][2] | {"index": 77})
    meta["universe"].append({"tokens": [77, 0], "name": "@999", "index": 999, "isCanonical": False})
    fees = await stage.gateway._transport.info({"type": "userFees", "user": ME})
    with pytest.raises(Rejected, match="coin HYPE is 2 tokens on spot: name its pair, as @107"):
        spot_rules([meta, contexts], fees, "HYPE")
    assert spot_rules([meta, contexts], fees, "@107").token_index == 2


async def test_bought_coin_arrives_less_the_fee_and_is_sold_again(saver: Stage) -> None:
    rules = await saver.gateway.spot.rules("ETH")
    outcome = await saver.gateway.execute(buy_of(saver, rules, "500"))
    assert (outcome.status, outcome.proof.established_by) == (OutcomeStatus.FILLED, "reply")
    owned = await saver.gateway.get_balance("ETH")
    assert (owned.currency, owned.total, owned.used) == ("UETH", outcome.received_size, 0)
    assert outcome.received_size < outcome.filled_size and outcome.fee_usd == 0
    assert (await saver.gateway.get_position("ETH")).size == 0
    sale = saver.intent(Side.SELL, "0.1", str(rules.limit_price(Side.SELL, Decimal(50))), coin="@151", asset=10151)
    sold = await saver.gateway.execute(sale)
    assert sold.fee_usd > 0 and sold.received_size == Decimal("-0.1")
    assert (await saver.gateway.spot.balance("UETH")).total == outcome.received_size - Decimal("0.1")
    assert {each.currency for each in await saver.gateway.spot.balances()} == {"USDC", "UETH"}
    assert (await saver.gateway.get_balance("HYPE")).total == 0


@pytest.mark.parametrize("spoilt", list(SPOILT))
async def test_spot_order_whose_reply_is_lost_is_found_and_not_repeated(saver: Stage, spoilt: str) -> None:
    saver.proxy.spoil("order", after(SPOILT[spoilt]))
    intent = buy_of(saver, await saver.gateway.spot.rules("HYPE"), "100")
    for _ in range(2):
        outcome: OrderOutcome = await execute(saver.gateway, intent, patience=SHORT)
        assert outcome.status is OutcomeStatus.FILLED
        (order,) = saver.accepted()
        assert (order.cloid, order.coin) == (intent.cloid, "@107")
        assert (await saver.gateway.spot.balance("HYPE")).total == outcome.received_size


@pytest.mark.parametrize(
    ("side", "size", "price", "reason"),
    [
        (Side.BUY, "1", "3460", RejectReason.MARGIN),
        (Side.SELL, "1", "3440", RejectReason.MARGIN),
        (Side.BUY, "0.0028", "3460", RejectReason.RULE),
        (Side.BUY, "0.1", "3400", RejectReason.NO_MATCH),
    ],
)
async def test_refused_spot_order_has_its_reason(
    saver: Stage, side: Side, size: str, price: str, reason: RejectReason
) -> None:
    intent = saver.intent(side, size, price, coin="@151", asset=10151)
    outcome = await execute(saver.gateway, intent, patience=SHORT)
    assert (outcome.status, outcome.reason) == (OutcomeStatus.REJECTED, reason)


async def test_sizes_never_cost_more_than_was_given_and_nothing_below_the_minimum(stage: Stage) -> None:
    rules = await stage.gateway.spot.rules("ETH")
    limit = rules.limit_price(Side.BUY, Decimal(50))
    assert limit == Decimal("3467.2") and rules.size_for(Decimal(500), limit) == Decimal("0.1442")
    assert rules.size_for(Decimal("9.9"), limit) == 0 < rules.size_for(Decimal("10.1"), limit)
    wide = rules.limit_price(Side.BUY, Decimal(500))
    assert rules.size_for(Decimal("10.2"), wide) == 0, "0.0028 are worth 10.14 at the limit, but 9.66 in the book"
    purr = await stage.gateway.spot.rules("PURR")
    assert purr.limit_price(Side.BUY, Decimal(50)) == Decimal("0.21029")
    cheap = purr.model_copy(update={"mid_price": Decimal("0.000123456")})
    assert cheap.limit_price(Side.SELL, Decimal(0)) == Decimal("0.00012346"), "eight decimals on spot"


async def test_deposits_withdrawals_and_transfers_are_read_for_what_they_are(stage: Stage) -> None:
    since_ms = stage.sim.venue.wall_ms()
    await control(stage.sim, "fund", address=stage.gateway.account, usd="500")
    await run(stage, await saved(stage, "120"))
    await control(stage.sim, "fund", address=stage.gateway.account, usd="-200")
    updates = await stage.gateway.spot.ledger_updates(since_ms=since_ms)
    assert [(each.kind, each.usd, each.perp_usd) for each in updates] == [
        ("deposit", 500, 500),
        ("accountClassTransfer", 0, -120),
        ("withdraw", -200, -200),
    ]


@pytest.mark.parametrize(
    ("delta", "usd", "perp_usd"),
    [
        ({"type": "withdraw", "usdc": "99.0", "nonce": 5, "fee": "1.0"}, "-100", "-100"),
        ({"type": "internalTransfer", "usdc": "10.0", "user": ME, "destination": OTHER, "fee": "1.0"}, "-11", "-11"),
        ({"type": "internalTransfer", "usdc": "10.0", "user": OTHER, "destination": ME, "fee": "1.0"}, "10", "10"),
        ({"type": "subAccountTransfer", "usdc": "7.0", "user": ME, "destination": OTHER}, "-7", "-7"),
        (
            {
                "type": "spotTransfer",
                "token": "UETH",
                "amount": "0.1",
                "usdcValue": "345.0",
                "user": OTHER,
                "destination": ME.upper().replace("X", "x"),
                "fee": "0.5",
                "feeToken": "UETH",
            },
            "345",
            "0",
        ),
        (
            {
                "type": "send",
                "token": "USDC",
                "amount": "50.0",
                "usdcValue": "50.0",
                "user": ME,
                "destination": ME,
                "sourceDex": "",
                "destinationDex": "spot",
                "fee": "0.0",
                "feeToken": "USDC",
            },
            "0",
            "-50",
        ),
        ({"type": "vaultWithdraw", "user": ME, "netWithdrawnUsd": "90.0", "requestedUsd": "100.0"}, "90", "90"),
        ({"type": "liquidation", "accountValue": "1.0"}, "0", "0"),
        ({"type": "rewardsClaim", "amount": "3.0"}, None, None),
    ],
)
def test_movement_counts_by_whose_it_is(delta: dict[str, Any], usd: str | None, perp_usd: str | None) -> None:
    (update,) = ledger_updates([{"time": 1, "hash": "0x1", "delta": delta}], ME)
    expected = [None if each is None else Decimal(each) for each in (usd, perp_usd)]
    assert [update.usd, update.perp_usd] == expected


async def test_ledger_is_paged_without_loss_or_repetition(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"time": time, "hash": "0x1", "delta": {"type": "deposit", "usdc": f"{number}.0"}}
        for number, time in enumerate([10, 20, 20, 30, 30, 40])
    ]

    async def oldest_three(request: web.Request, raw: bytes, forward: Forward) -> web.StreamResponse:
        start = json.loads(raw)["startTime"]
        return web.json_response([row for row in rows if row["time"] >= start][:3])

    monkeypatch.setattr(account, "LEDGER_PER_ANSWER", 3)
    stage.proxy.spoil("userNonFundingLedgerUpdates", *[oldest_three] * 20)
    updates = await stage.gateway.spot.ledger_updates(since_ms=0)
    assert [each.usd for each in updates] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("kind", ["spotClearinghouseState", "spotMetaAndAssetCtxs", "userNonFundingLedgerUpdates"])
async def test_answer_of_another_shape_is_unknown(stage: Stage, kind: str) -> None:
    stage.proxy.spoil(kind, answer(200, '[{"what": "ever"}]'))
    ask = {
        "spotClearinghouseState": lambda: stage.gateway.spot.balances(),
        "spotMetaAndAssetCtxs": lambda: stage.gateway.spot.rules("ETH"),
        "userNonFundingLedgerUpdates": lambda: stage.gateway.spot.ledger_updates(since_ms=0),
    }[kind]
    with pytest.raises(Unknown, match="is not in the known shape"):
        await ask()


@settings(max_examples=15, deadline=None)
@given(
    st.decimals("0.000001", "1000000", places=6),
    st.booleans(),
    st.booleans(),
    st.integers(1_600_000_000_000, 2_000_000_000_000),
    st.integers(1, 2**255),
    st.none() | st.just(OTHER),
)
def test_transfers_are_signed_as_by_ccxt_and_the_official_sdk(
    usd: Decimal, to_perp: bool, mainnet: bool, nonce: int, secret: int, sub_account: str | None
) -> None:
    raw_key = f"0x{secret:064x}"
    intent = TransferIntent(account=ME, signer=ME, nonce=nonce, usd=usd, to_perp=to_perp)
    action = transfer_action(intent, mainnet=mainnet, sub_account=sub_account)
    ours = sign_transfer(PrivateKey(raw_key), action)
    theirs = {key: action[key] for key in ("type", "amount", "toPerp", "nonce")}
    by_sdk = sign_usd_class_transfer_action(Account.from_key(raw_key), theirs, mainnet)
    assert {key: int(str(ours[key]), 16) for key in "rs"} == {key: int(by_sdk[key], 16) for key in "rs"}
    assert ours["v"] == by_sdk["v"] and theirs == action
    exchange = hyperliquid({"privateKey": raw_key, "options": {"sandboxMode": not mainnet}})
    message = {key: action[key] for key in ("hyperliquidChain", "amount", "toPerp", "nonce")}
    assert exchange.build_usd_class_send_sig(message) == ours
