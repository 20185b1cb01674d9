"""Who signed a request: recovery of L1 ("phantom agent") and user-signed actions, testnet flavour.

A wrong signature is not noticed as such: it recovers some other address, which then has no account.
"""

from typing import Any

import msgpack
from coincurve import PublicKey
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_hash.auto import keccak

from simulator.requests import Envelope, L1Action, Signature
from simulator.user_signed import UserSigned

CHAIN = "Testnet"
SOURCE = "b"
"""What testnet signatures carry as `source`; mainnet's is "a"."""

_CHAIN_ID = 1337


class UnrecoverableSignature(Exception):
    """The signature is not a point of the curve, or v is not 27 or 28."""


def action_hash(action: dict[str, Any], nonce: int, vault: str | None, expires_after: int | None) -> bytes:
    """keccak256 of msgpack(action) + nonce + vault marker + expiry marker: the venue's connection id."""
    data: bytes = msgpack.packb(action)
    data += nonce.to_bytes(8, "big")
    data += b"\x00" if vault is None else b"\x01" + bytes.fromhex(vault.removeprefix("0x"))
    if expires_after is not None:
        data += b"\x00" + expires_after.to_bytes(8, "big")
    return keccak(data)


def recover(envelope: Envelope) -> str:
    """Address that signed, lower case. Raises UnrecoverableSignature."""
    action = envelope.action
    if isinstance(action, UserSigned):
        return _recover_typed(action, envelope.signature)
    assert isinstance(action, L1Action)
    connection = action_hash(action.canonical(), envelope.nonce, envelope.vaultAddress, envelope.expiresAfter)
    return _recover_digest(phantom_digest(connection), envelope.signature)


def phantom_digest(connection_id: bytes) -> bytes:
    """What is signed for an L1 action: EIP-712 Agent{source, connectionId} in domain Exchange."""
    return keccak(b"\x19\x01" + _DOMAIN + keccak(_AGENT_TYPE + _SOURCE_HASH + connection_id))


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")


_DOMAIN = keccak(
    keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
    + keccak(b"Exchange")
    + keccak(b"1")
    + _word(_CHAIN_ID)
    + _word(0)
)
_AGENT_TYPE = keccak(b"Agent(string source,bytes32 connectionId)")
_SOURCE_HASH = keccak(SOURCE.encode())


def _recover_digest(message_digest: bytes, signature: Signature) -> str:
    if signature.v not in (27, 28):
        raise UnrecoverableSignature(f"v is {signature.v}; allowed are 27 and 28")
    raw = _word(int(signature.r, 16)) + _word(int(signature.s, 16)) + bytes([signature.v - 27])
    try:
        key = PublicKey.from_signature_and_message(raw, message_digest, hasher=None)
    except Exception as error:  # coincurve raises bare Exception for points that are not on the curve
        raise UnrecoverableSignature("no public key fits this signature") from error
    return "0x" + keccak(key.format(compressed=False)[1:])[-20:].hex()


def _recover_typed(action: UserSigned, signature: Signature) -> str:
    message = {name: getattr(action, name) for name, _ in action.fields}
    if message.get("agentName", "") is None:
        # The SDK signs an empty name for an unnamed agent and then leaves the key out of the action.
        message["agentName"] = ""
    typed = {
        "domain": {
            "name": "HyperliquidSignTransaction",
            "version": "1",
            "chainId": int(action.signatureChainId, 16),
            "verifyingContract": "0x" + "0" * 40,
        },
        "types": {
            action.primary_type: [{"name": name, "type": kind} for name, kind in action.fields],
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
        },
        "primaryType": action.primary_type,
        "message": message,
    }
    signable = encode_typed_data(full_message=typed)
    vrs = (signature.v, int(signature.r, 16), int(signature.s, 16))
    try:
        return str(Account.recover_message(signable, vrs=vrs)).lower()
    except Exception as error:  # eth-keys raises several unrelated types for r, s and v that fit no key
        raise UnrecoverableSignature("no public key fits this signature") from error
