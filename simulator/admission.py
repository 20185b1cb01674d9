"""From a decoded `/exchange` body to an answer: who signed, for whom, whether it may run, then what it does.

The order is the venue's: shape, signer, account, vault, nonce, expiry, action. From the nonce on, the nonce is spent
whatever follows.
"""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from simulator.account_actions import ACCOUNT_ACTIONS
from simulator.actions import ORDER_ACTIONS, ActionRefused
from simulator.nonces import NonceRefused
from simulator.placing import Sender
from simulator.records import Account
from simulator.requests import ENVELOPE, Envelope
from simulator.signing import CHAIN, UnrecoverableSignature, recover
from simulator.twist import NO_TWIST, Twist
from simulator.user_signed import UserSigned
from simulator.venue import Venue
from simulator.wire import digest

PERFORM = ORDER_ACTIONS | ACCOUNT_ACTIONS


class Unprocessable(Exception):
    """The body does not fit the shape of any action: HTTP 422."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a request. `answer` is the body to send; `signer` and `account` are None where not established."""

    answer: dict[str, Any]
    action_type: str
    signer: str | None
    account: str | None


def decode(body: object) -> Envelope:
    """Raises Unprocessable."""
    try:
        return ENVELOPE.validate_python(body)
    except ValidationError as error:
        raise Unprocessable(str(error.errors(include_url=False, include_input=False))) from error


def submit(venue: Venue, envelope: Envelope, twist: Twist = NO_TWIST) -> Verdict:
    """Apply one request. Nothing of it is visible to others before the caller drains the venue."""
    kind = envelope.action.type
    signer: str | None = None
    account: str | None = None
    try:
        signer = _signer(envelope)
        acting = _account(venue, envelope, signer)
        account = acting.address
        _spend_nonce(venue, envelope, signer, acting)
        response = PERFORM[type(envelope.action)](envelope.action, venue, _sender(envelope, acting, signer, twist))
    except (ActionRefused, NonceRefused) as refusal:
        return Verdict({"status": "err", "response": str(refusal)}, kind, signer, account)
    return Verdict({"status": "ok", "response": response}, kind, signer, account)


def _signer(envelope: Envelope) -> str:
    action = envelope.action
    if isinstance(action, UserSigned):
        if action.hyperliquidChain != CHAIN:
            raise ActionRefused("Mainnet and testnet require different signature.")
        if action.nonce != envelope.nonce:
            raise ActionRefused("Nonce in the action does not match the request.")
    try:
        return recover(envelope)
    except UnrecoverableSignature as error:
        raise ActionRefused("Unable to recover signer.") from error


def _account(venue: Venue, envelope: Envelope, signer: str) -> Account:
    """The account an action moves: the signer's own, its master's, or the named sub-account of that."""
    if isinstance(envelope.action, UserSigned):
        if envelope.vaultAddress is not None:
            raise ActionRefused("Vault may not perform this action.")
        owner = venue.accounts.get(signer)
        if owner is None:
            raise ActionRefused(f"Must deposit before performing actions. User: {signer}")
        return owner
    owner = venue.accounts.get(signer) or _master_of(venue, signer)
    if owner is None:
        raise ActionRefused(f"User or API Wallet {signer} does not exist.")
    if envelope.vaultAddress is None or envelope.vaultAddress == owner.address:
        return owner
    vault = venue.accounts.get(envelope.vaultAddress)
    if vault is None or vault.master != owner.address:
        raise ActionRefused(f"Vault not registered: {envelope.vaultAddress}")
    return vault


def _master_of(venue: Venue, signer: str) -> Account | None:
    master = venue.accounts.get(venue.agents.get(signer, ""))
    if master is None:
        return None
    agent = next(agent for agent in master.agents.values() if agent.address == signer)
    expired = agent.valid_until_ms is not None and agent.valid_until_ms < venue.wall_ms()
    return None if expired else master


def _spend_nonce(venue: Venue, envelope: Envelope, signer: str, account: Account) -> None:
    now = venue.wall_ms()
    dropped = venue.nonces.use(signer, envelope.nonce, now)
    venue.changes.nonces.append((signer, envelope.nonce, dropped))
    account.requests_used += 1
    venue.changes.accounts.add(account.address)
    if envelope.expiresAfter is not None and envelope.expiresAfter < now:
        raise ActionRefused("Action already expired")


def _sender(envelope: Envelope, account: Account, signer: str, twist: Twist) -> Sender:
    return Sender(account, signer, envelope.nonce, digest(signer, envelope.nonce), twist)
