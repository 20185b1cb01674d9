"""Shapes of the actions that only the account's own key may sign: EIP-712 data of their own fields.

Each class carries the venue's primary type and the signed fields in order; clients sign exactly these.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import StringConstraints

from simulator.shape import Bool, Int, Shape, Text
from simulator.wire import Address


class UserSigned(Shape):
    """Signed as EIP-712 data of its own fields; `primary_type` and `fields` are the venue's."""

    primary_type: ClassVar[str]
    fields: ClassVar[tuple[tuple[str, str], ...]]
    type: str
    signatureChainId: Annotated[str, StringConstraints(strict=True, pattern=r"^0x[0-9a-fA-F]{1,16}$")]
    hyperliquidChain: Literal["Mainnet", "Testnet"]
    nonce: Int


class UsdClassTransferAction(UserSigned):
    primary_type: ClassVar[str] = "HyperliquidTransaction:UsdClassTransfer"
    fields: ClassVar = (("hyperliquidChain", "string"), ("amount", "string"), ("toPerp", "bool"), ("nonce", "uint64"))
    type: Literal["usdClassTransfer"]
    amount: Text
    toPerp: Bool


class ApproveAgentAction(UserSigned):
    primary_type: ClassVar[str] = "HyperliquidTransaction:ApproveAgent"
    fields: ClassVar = (
        ("hyperliquidChain", "string"),
        ("agentAddress", "address"),
        ("agentName", "string"),
        ("nonce", "uint64"),
    )
    type: Literal["approveAgent"]
    agentAddress: Address
    agentName: Text | None = None


class ApproveBuilderFeeAction(UserSigned):
    primary_type: ClassVar[str] = "HyperliquidTransaction:ApproveBuilderFee"
    fields: ClassVar = (
        ("hyperliquidChain", "string"),
        ("maxFeeRate", "string"),
        ("builder", "address"),
        ("nonce", "uint64"),
    )
    type: Literal["approveBuilderFee"]
    maxFeeRate: Annotated[str, StringConstraints(strict=True, pattern=r"^\d{1,3}(\.\d{1,6})?%$")]
    builder: Address
