"""Whether a signer may trade for an account, and how a request then names it."""

from collections.abc import Awaitable, Callable
from typing import Any

from exchange.errors import Rejected
from exchange.shapes import shape_of

Info = Callable[[dict[str, Any]], Awaitable[Any]]


async def vault_address(info: Info, account: str, signer: str) -> str | None:
    """What `vaultAddress` must be in the signer's requests: the account when it is a sub-account or vault, or None.

    Raises Rejected when the signer is neither the account's own key, nor its master's, nor an API wallet of either.
    """
    if account == signer:
        return None
    owner = await _owner(info, signer, account)
    answer = await info({"type": "userRole", "user": account})
    with shape_of("userRole"):
        role = answer["role"]
        master = answer["data"]["master"].lower() if role == "subAccount" else None
    if role == "user" and owner == account:
        return None
    if master == owner or role == "vault":
        return account
    raise Rejected(
        f"account {account} (role {role}) is not {owner}'s, for whom the key {signer} signs: set account to {owner},"
        " one of its sub-accounts, or leave it out"
    )


async def is_api_wallet(info: Info, signer: str) -> bool:
    """Whether the key only trades for somebody: money is moved by an account's own key."""
    answer = await info({"type": "userRole", "user": signer})
    with shape_of("userRole"):
        return bool(answer["role"] == "agent")


async def _owner(info: Info, signer: str, account: str) -> str:
    """The account a key acts for: itself, or the one that approved it as API wallet."""
    answer = await info({"type": "userRole", "user": signer})
    with shape_of("userRole"):
        role = answer["role"]
        if role == "agent":
            return str(answer["data"]["user"]).lower()
    if role == "user":
        return signer
    raise Rejected(f"key {signer} has role {role}: it must be approved as API wallet of {account} or its master first")
