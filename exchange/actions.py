"""The actions we sign, as the exchange hashes them: the order of the keys is part of the signature."""

from collections.abc import Sequence
from typing import Any

from exchange.grid import wire
from exchange.port import Intent, Side
from exchange.signing import SIGNATURE_CHAIN
from exchange.spot_port import TransferIntent

NOOP: dict[str, Any] = {"type": "noop"}
"""Does nothing but spend its nonce."""


def order_action(intent: Intent) -> dict[str, Any]:
    """A market order, IOC at the intent's limit; a stop becomes one when the mark reaches its trigger.

    Built from the intent alone, never from today's market data: ccxt would round the price by the digits it had when
    markets were loaded, and a retry would sign other bytes.
    """
    order = {
        "a": intent.asset,
        "b": intent.side is Side.BUY,
        "p": wire(intent.limit_price),
        "s": wire(intent.size),
        "r": intent.reduce_only,
        "t": _kind(intent),
        "c": intent.cloid,
    }
    return {"type": "order", "orders": [order], "grouping": "na"}


def _kind(intent: Intent) -> dict[str, Any]:
    if intent.trigger_price is None:
        return {"limit": {"tif": "Ioc"}}
    return {"trigger": {"isMarket": True, "triggerPx": wire(intent.trigger_price), "tpsl": "sl"}}


def cancel_action(orders: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """By (asset, order id)."""
    return {"type": "cancel", "cancels": [{"a": asset, "o": oid} for asset, oid in orders]}


def cancel_by_cloid_action(asset: int, cloid: str) -> dict[str, Any]:
    return {"type": "cancelByCloid", "cancels": [{"asset": asset, "cloid": cloid}]}


def leverage_action(asset: int, leverage: int, *, cross: bool) -> dict[str, Any]:
    return {"type": "updateLeverage", "asset": asset, "isCross": cross, "leverage": leverage}


def transfer_action(intent: TransferIntent, *, mainnet: bool, sub_account: str | None = None) -> dict[str, Any]:
    """Between an account's sides; of a sub-account, which is named behind the amount."""
    amount = wire(intent.usd)
    return {
        "type": "usdClassTransfer",
        "hyperliquidChain": "Mainnet" if mainnet else "Testnet",
        "signatureChainId": f"0x{SIGNATURE_CHAIN:x}",
        "amount": amount if sub_account is None else f"{amount} subaccount:{sub_account}",
        "toPerp": intent.to_perp,
        "nonce": intent.nonce,
    }
