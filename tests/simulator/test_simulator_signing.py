"""Recovery of signers, against the published vector and against what the official SDK signs."""

from collections.abc import Callable
from typing import Any

import pytest
from eth_account import Account as Key
from hyperliquid.utils.signing import (
    sign_agent,
    sign_approve_builder_fee,
    sign_l1_action,
    sign_usd_class_transfer_action,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.requests import ENVELOPE
from simulator.signing import action_hash, recover

VECTOR_KEY = "0xe908f86dbb4d55ac876378565aafeabc187f6690f046459397b17d9b9a19688e"
VECTOR_NONCE = 1690393044548
VECTOR_ACTION: dict[str, Any] = {
    "type": "order",
    "orders": [{"a": 1, "b": True, "p": "1800", "s": "0.02", "r": False, "t": {"limit": {"tif": "Gtc"}}}],
    "grouping": "na",
}
CLOID = "0x" + "ab" * 16


def recovered(action: dict[str, Any], signature: dict[str, Any], nonce: int, **more: Any) -> str:
    body = {"action": action, "nonce": nonce, "signature": signature, **more}
    return recover(ENVELOPE.validate_python(body))


def test_vector_hash_and_testnet_signature() -> None:
    digest = action_hash(VECTOR_ACTION, VECTOR_NONCE, None, None)
    assert digest.hex() == "b8ed9e5a4ea7b2aebdb09fd794221c2599487f6dc8d3bf8f38656ab295f36120"
    signature = {
        "r": "0xaf8ad82df72e75b2796098f8a7a14b132f325d3e47382efb61354af1cfba12ac",
        "s": "0x35331e2cbf487309c221b72b44b88ef8a3febee9b87cf70d692fc8c8b20c2065",
        "v": 27,
    }
    assert recovered(VECTOR_ACTION, signature, VECTOR_NONCE) == "0xcd49bbac6e85fdeb167eb7ca41a945d2b8758f6f"


def test_mainnet_signature_recovers_somebody_else() -> None:
    signature = {
        "r": "0x380b70e9e76181609c7d9f2ece74cf7717a0254f9d751137ffaedff685e81cc7",
        "s": "0x27c1e43069db58d728e996b91112aff57a24f3d9221635adc053f20aa4283ad8",
        "v": 27,
    }
    assert recovered(VECTOR_ACTION, signature, VECTOR_NONCE) != "0xcd49bbac6e85fdeb167eb7ca41a945d2b8758f6f"


@settings(max_examples=60, deadline=None)
@given(
    secret=st.integers(min_value=1, max_value=2**200),
    nonce=st.integers(min_value=1, max_value=2**53),
    vault=st.none() | st.just("0x" + "5b" * 20),
    expires_after=st.none() | st.integers(min_value=1, max_value=2**53),
    cloid=st.none() | st.just(CLOID),
)
def test_whatever_the_sdk_signs_is_recovered(
    secret: int, nonce: int, vault: str | None, expires_after: int | None, cloid: str | None
) -> None:
    """Also signatures whose r or s the SDK sends unpadded."""
    key = Key.from_key(secret.to_bytes(32, "big"))
    order = VECTOR_ACTION["orders"][0] | ({"c": cloid} if cloid else {})
    action = {"type": "order", "orders": [order], "grouping": "na"}
    signature = sign_l1_action(key, action, vault, nonce, expires_after, is_mainnet=False)
    more = {"vaultAddress": vault, "expiresAfter": expires_after}
    assert recovered(action, signature, nonce, **more) == key.address.lower()
    if vault:
        assert recovered(action, signature, nonce, **more | {"vaultAddress": vault[2:]}) == key.address.lower()


def test_key_order_and_letter_case_of_a_cloid_do_not_change_the_signer() -> None:
    key = Key.from_key(VECTOR_KEY)
    order = VECTOR_ACTION["orders"][0] | {"c": CLOID}
    action = {"type": "order", "orders": [order], "grouping": "na"}
    signature = sign_l1_action(key, action, None, VECTOR_NONCE, None, is_mainnet=False)
    shuffled = {
        "grouping": "na",
        "orders": [dict(reversed((order | {"c": CLOID.upper().replace("0X", "0x")}).items()))],
        "type": "order",
    }
    assert recovered(shuffled, signature, VECTOR_NONCE) == key.address.lower()


def test_signed_trailing_zero_recovers_somebody_else() -> None:
    key = Key.from_key(VECTOR_KEY)
    order = VECTOR_ACTION["orders"][0] | {"p": "1800.0"}
    action = {"type": "order", "orders": [order], "grouping": "na"}
    signature = sign_l1_action(key, action, None, VECTOR_NONCE, None, is_mainnet=False)
    assert recovered(action, signature, VECTOR_NONCE) != key.address.lower()


UserSigner = Callable[[Any, dict[str, Any]], dict[str, Any]]


@pytest.mark.parametrize(
    ("action", "sign"),
    [
        (
            {"type": "usdClassTransfer", "amount": "10.5", "toPerp": True},
            lambda key, action: sign_usd_class_transfer_action(key, action, False),
        ),
        (
            {"type": "approveAgent", "agentAddress": "0x" + "77" * 20, "agentName": "desk"},
            lambda key, action: sign_agent(key, action, False),
        ),
        (
            {"type": "approveBuilderFee", "maxFeeRate": "0.01%", "builder": "0x" + "88" * 20},
            lambda key, action: sign_approve_builder_fee(key, action, False),
        ),
    ],
)
def test_user_signed_actions_recover(action: dict[str, Any], sign: UserSigner) -> None:
    key = Key.from_key(VECTOR_KEY)
    action = action | {"nonce": VECTOR_NONCE}
    signature = sign(key, action)
    assert recovered(action, signature, VECTOR_NONCE) == key.address.lower()


def test_unnamed_agent_is_signed_with_an_empty_name_and_sent_without() -> None:
    key = Key.from_key(VECTOR_KEY)
    action = {"type": "approveAgent", "agentAddress": "0x" + "77" * 20, "agentName": "", "nonce": VECTOR_NONCE}
    signature = sign_agent(key, action, False)
    del action["agentName"]
    assert recovered(action, signature, VECTOR_NONCE) == key.address.lower()
