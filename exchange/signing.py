"""Hyperliquid's signatures, and the key that makes them.

The same as ccxt's (a test compares them) in 0.05 ms, where ccxt holds the event loop for
some 3 ms hashing in pure Python. RFC 6979 makes it deterministic, so signing the same order twice gives the same bytes.
"""

from collections.abc import Mapping
from typing import Any

import msgpack
from coincurve import PrivateKey as _Secret
from eth_hash.auto import keccak

from exchange.errors import Rejected, RejectReason

SIGNATURE_CHAIN = 421_614
"""The chain a wallet is told it signs for, in actions that move money; clients sign for this one on either network."""
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class PrivateKey:
    """A secp256k1 key that shows itself only as its address: in repr, str, errors and logs."""

    __slots__ = ("_secret", "address")

    def __init__(self, secret: str) -> None:
        """`secret` is 64 hex digits, with or without 0x. Raises ValueError, whose text doesn't hold it."""
        digits = secret.strip().removeprefix("0x")
        try:
            raw = bytes.fromhex(digits)
        except ValueError:
            # `from None`: the original error's context shows what was given.
            raise ValueError(
                "the private key is not hexadecimal: 64 hex digits are allowed, 0x before them or not"
            ) from None
        if len(raw) != 32:
            raise ValueError(f"the private key has {len(raw)} bytes: 32 are allowed, as 64 hex digits")
        if not 0 < int.from_bytes(raw) < CURVE_ORDER:
            raise ValueError("the private key is outside the curve's range")
        self._secret = _Secret(raw)
        self.address = "0x" + keccak(self._secret.public_key.format(compressed=False)[1:])[-20:].hex()
        """Lower case."""

    def __repr__(self) -> str:
        return f"PrivateKey({self.address})"

    def __reduce__(self) -> str:
        raise TypeError("a private key is not pickled")

    def sign(self, digest: bytes) -> dict[str, str | int]:
        """r and s as 0x and 64 hex digits, v 27 or 28."""
        signature = self._secret.sign_recoverable(digest, hasher=None)
        return {"r": "0x" + signature[:32].hex(), "s": "0x" + signature[32:64].hex(), "v": 27 + signature[64]}


class LostKey(PrivateKey):
    """A key that is gone, of which only the address is known: it signs nothing. What it had signed is settled by
    looking, once that is past its expiry."""

    __slots__ = ()

    def __init__(self, address: str) -> None:
        self.address = address.lower()

    def sign(self, digest: bytes) -> dict[str, str | int]:
        """Raises Rejected: another intent, by another key, is worth a try."""
        raise Rejected(f"the key of {self.address} is lost: nothing is signed by it any more", RejectReason.NONCE)


def action_hash(action: Mapping[str, Any], nonce: int, vault: str | None, expires_after_ms: int | None) -> bytes:
    """The connection id: what the exchange recomputes from the request. The order of the action's keys matters."""
    data: bytes = msgpack.packb(action)
    data += nonce.to_bytes(8)
    data += b"\x00" if vault is None else b"\x01" + bytes.fromhex(vault.removeprefix("0x"))
    if expires_after_ms is not None:
        data += b"\x00" + expires_after_ms.to_bytes(8)
    return keccak(data)


def sign_l1_action(
    key: PrivateKey,
    action: Mapping[str, Any],
    nonce: int,
    *,
    mainnet: bool,
    vault: str | None = None,
    expires_after_ms: int | None = None,
) -> dict[str, str | int]:
    """The EIP-712 signature of the phantom agent. The wrong network is not seen as such by the exchange: it recovers
    some other address and says that this one does not exist."""
    connection_id = action_hash(action, nonce, vault, expires_after_ms)
    agent = keccak(_AGENT_TYPE + (_MAINNET if mainnet else _TESTNET) + connection_id)
    return key.sign(keccak(b"\x19\x01" + _DOMAIN + agent))


def sign_transfer(key: PrivateKey, action: Mapping[str, Any]) -> dict[str, str | int]:
    """The EIP-712 signature of a `usdClassTransfer`, over its own fields: what only the account's own key may sign."""
    struct = keccak(
        _TRANSFER_TYPE
        + keccak(action["hyperliquidChain"].encode())
        + keccak(action["amount"].encode())
        + int(action["toPerp"]).to_bytes(32)
        + int(action["nonce"]).to_bytes(32)
    )
    return key.sign(keccak(b"\x19\x01" + _USER_DOMAIN + struct))


def _domain(name: bytes, chain: int) -> bytes:
    return keccak(
        keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
        + keccak(name)
        + keccak(b"1")
        + chain.to_bytes(32)
        + bytes(32)
    )


_AGENT_TYPE = keccak(b"Agent(string source,bytes32 connectionId)")
_TRANSFER_TYPE = keccak(
    b"HyperliquidTransaction:UsdClassTransfer(string hyperliquidChain,string amount,bool toPerp,uint64 nonce)"
)
_MAINNET = keccak(b"a")
_TESTNET = keccak(b"b")
_DOMAIN = _domain(b"Exchange", 1337)
_USER_DOMAIN = _domain(b"HyperliquidSignTransaction", SIGNATURE_CHAIN)
