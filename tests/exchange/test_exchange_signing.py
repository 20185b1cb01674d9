import json
import logging
import pickle
from decimal import Decimal
from typing import Any

import pytest
from ccxt.async_support import hyperliquid
from eth_account import Account
from hyperliquid.utils.signing import order_request_to_order_wire, order_wires_to_order_action
from hyperliquid.utils.signing import sign_l1_action as sdk_sign
from hyperliquid.utils.types import Cloid
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.actions import NOOP, leverage_action, order_action
from exchange.network import Endpoint
from exchange.port import Intent, Side
from exchange.quiet import QuietHyperliquid
from exchange.signing import PrivateKey, action_hash, sign_l1_action
from settings import Network

# A key that is public: the exchange's own published signing example.
SDK_KEY = "0xe908f86dbb4d55ac876378565aafeabc187f6690f046459397b17d9b9a19688e"
EXAMPLE = {
    "type": "order",
    "orders": [{"a": 1, "b": True, "p": "1800", "s": "0.02", "r": False, "t": {"limit": {"tif": "Gtc"}}}],
    "grouping": "na",
}
EXAMPLE_NONCE = 1690393044548


def intents() -> st.SearchStrategy[Intent]:
    return st.builds(
        Intent,
        cloid=st.binary(min_size=16, max_size=16).map(lambda raw: "0x" + raw.hex()),
        account=st.just("0x" + "01" * 20),
        signer=st.just("0x" + "02" * 20),
        nonce=st.integers(1_600_000_000_000, 2_000_000_000_000),
        coin=st.just("ETH"),
        asset=st.integers(0, 10_000),
        side=st.sampled_from(Side),
        size=st.decimals("0.0001", "100000", places=4),
        limit_price=st.decimals("0.1", "100000", places=1),
        reduce_only=st.booleans(),
        trigger_price=st.none() | st.decimals("0.1", "100000", places=1),
        expires_after_ms=st.integers(1_600_000_000_000, 2_000_000_000_000),
    )


def test_signatures_are_those_of_the_published_example() -> None:
    key = PrivateKey(SDK_KEY)
    assert key.address == "0xcd49bbac6e85fdeb167eb7ca41a945d2b8758f6f"
    assert action_hash(EXAMPLE, EXAMPLE_NONCE, None, None).hex() == (
        "b8ed9e5a4ea7b2aebdb09fd794221c2599487f6dc8d3bf8f38656ab295f36120"
    )
    assert sign_l1_action(key, EXAMPLE, EXAMPLE_NONCE, mainnet=True) == {
        "r": "0x380b70e9e76181609c7d9f2ece74cf7717a0254f9d751137ffaedff685e81cc7",
        "s": "0x27c1e43069db58d728e996b91112aff57a24f3d9221635adc053f20aa4283ad8",
        "v": 27,
    }
    assert sign_l1_action(key, EXAMPLE, EXAMPLE_NONCE, mainnet=False) == {
        "r": "0xaf8ad82df72e75b2796098f8a7a14b132f325d3e47382efb61354af1cfba12ac",
        "s": "0x35331e2cbf487309c221b72b44b88ef8a3febee9b87cf70d692fc8c8b20c2065",
        "v": 27,
    }


vaults = st.none() | st.binary(min_size=20, max_size=20).map(lambda raw: raw.hex())


@settings(max_examples=25, deadline=None)
@given(intents(), st.booleans(), vaults, st.booleans(), st.integers(1, 2**255))
def test_signatures_are_those_of_ccxt_and_of_the_official_sdk(
    intent: Intent, mainnet: bool, vault: str | None, expires: bool, secret: int
) -> None:
    raw_key = f"0x{secret:064x}"
    action = order_action(intent)
    expires_after = intent.expires_after_ms if expires else None
    ours = sign_l1_action(
        PrivateKey(raw_key), action, intent.nonce, mainnet=mainnet, vault=vault, expires_after_ms=expires_after
    )
    plain = hyperliquid({"privateKey": raw_key, "options": {"sandboxMode": not mainnet}})
    assert ours == plain.sign_l1_action(action, intent.nonce, vault, expires_after)
    theirs = sdk_sign(
        Account.from_key(raw_key), action, vault and f"0x{vault}", intent.nonce, expires_after, is_mainnet=mainnet
    )
    # The SDK leaves out leading zeros.
    assert (int(str(ours["r"]), 16), int(str(ours["s"]), 16), ours["v"]) == (
        int(theirs["r"], 16),
        int(theirs["s"], 16),
        theirs["v"],
    )


@pytest.mark.parametrize("action", [NOOP, leverage_action(1, 25, cross=True)])
def test_other_actions_sign_as_in_ccxt(action: dict[str, Any]) -> None:
    plain = hyperliquid({"privateKey": SDK_KEY, "options": {"sandboxMode": True}})
    assert sign_l1_action(PrivateKey(SDK_KEY), action, EXAMPLE_NONCE, mainnet=False) == plain.sign_l1_action(
        action, EXAMPLE_NONCE
    )


def test_order_action_is_what_ccxt_builds_for_the_same_terms() -> None:
    quiet = QuietHyperliquid(Endpoint(Network.PAPER, "http://127.0.0.1:1"), "0x" + "01" * 20, PrivateKey(SDK_KEY))
    market = quiet.parse_market({"name": "ETH", "szDecimals": "4", "maxLeverage": 25, "markPx": "3450.0", "baseId": 1})
    quiet.set_markets([market])
    intent = Intent(
        cloid="0x" + "ab" * 16,
        account="0x" + "01" * 20,
        signer="0x" + "02" * 20,
        nonce=1,
        coin="ETH",
        asset=1,
        side=Side.SELL,
        size=Decimal("0.0120"),
        limit_price=Decimal("3440.0"),
        reduce_only=True,
        expires_after_ms=2,
    )
    order = {
        "symbol": "ETH/USDC:USDC",
        "type": "limit",
        "side": "sell",
        "amount": "0.012",
        "price": "3440",
        "params": {"clientOrderId": intent.cloid, "reduceOnly": True, "timeInForce": "IOC"},
    }
    request = quiet.create_orders_request([order])
    assert request["action"] == order_action(intent)
    assert list(request["action"]["orders"][0]) == list(order_action(intent)["orders"][0])
    assert "builder" not in request["action"]


def test_stop_action_is_what_ccxt_and_the_official_sdk_build_for_the_same_terms() -> None:
    quiet = QuietHyperliquid(Endpoint(Network.PAPER, "http://127.0.0.1:1"), "0x" + "01" * 20, PrivateKey(SDK_KEY))
    market = quiet.parse_market({"name": "ETH", "szDecimals": "4", "maxLeverage": 25, "markPx": "3450.0", "baseId": 1})
    quiet.set_markets([market])
    intent = Intent(
        cloid="0x" + "ab" * 16,
        account="0x" + "01" * 20,
        signer="0x" + "02" * 20,
        nonce=1,
        coin="ETH",
        asset=1,
        side=Side.SELL,
        size=Decimal("0.0120"),
        limit_price=Decimal("3015.0"),
        reduce_only=True,
        expires_after_ms=2,
        trigger_price=Decimal("3350.0"),
    )
    stop = {"clientOrderId": intent.cloid, "reduceOnly": True, "stopLossPrice": "3350", "slippage": "0.1"}
    order = {"symbol": "ETH/USDC:USDC", "type": "market", "side": "sell", "amount": "0.012", "price": "3350"}
    by_ccxt = quiet.create_orders_request([order | {"params": stop}])["action"]
    by_sdk = order_wires_to_order_action(
        [
            order_request_to_order_wire(
                {
                    "coin": "ETH",
                    "is_buy": False,
                    "sz": 0.012,
                    "limit_px": 3015.0,
                    "order_type": {"trigger": {"triggerPx": 3350.0, "isMarket": True, "tpsl": "sl"}},
                    "reduce_only": True,
                    "cloid": Cloid.from_str(intent.cloid),
                },
                1,
            )
        ]
    )
    # The order of keys is part of what is signed.
    assert json.dumps(order_action(intent)) == json.dumps(by_ccxt) == json.dumps(by_sdk)


def test_an_intent_without_a_trigger_is_written_as_before_there_were_stops() -> None:
    intent = Intent(
        cloid="0x" + "ab" * 16,
        account="0x" + "01" * 20,
        signer="0x" + "02" * 20,
        nonce=1,
        coin="ETH",
        asset=1,
        side=Side.BUY,
        size=Decimal("0.01"),
        limit_price=Decimal(3460),
        reduce_only=False,
        expires_after_ms=2,
    )
    written = intent.model_dump_json()
    assert list(json.loads(written)) == [
        *("cloid", "account", "signer", "nonce", "coin", "asset", "side", "size", "limit_price", "reduce_only"),
        *("expires_after_ms", "traceparent"),
    ]
    assert Intent.model_validate_json(written) == intent
    stop = intent.model_copy(update={"trigger_price": Decimal(3500)})
    assert Intent.model_validate_json(stop.model_dump_json()) == stop


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("zz" * 32, "not hexadecimal"),
        ("ab" * 31, "31 bytes"),
        ("00" * 32, "outside the curve"),
        ("ff" * 32, "outside the curve"),
    ],
)
def test_bad_key_is_refused_without_being_shown(secret: str, text: str) -> None:
    with pytest.raises(ValueError, match=text) as caught:
        PrivateKey(secret)
    assert secret not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_key_shows_itself_only_as_its_address(caplog: pytest.LogCaptureFixture) -> None:
    key = PrivateKey(SDK_KEY)
    secret = SDK_KEY.removeprefix("0x")
    quiet = QuietHyperliquid(Endpoint(Network.PAPER, "http://127.0.0.1:1"), key.address, key)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").warning("%s %r %s", key, key, {"key": key})
    assert key.address in caplog.text
    assert all(
        secret not in text for text in (caplog.text, repr(key), f"{key}", repr(vars(quiet)), str(quiet.__dict__))
    )
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(key)
