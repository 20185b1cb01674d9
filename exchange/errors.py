"""What is known after a call to the exchange failed: the only question that matters for an order.

Sorting lives in `exchange.sorting`; whatever it does not recognise is `Unknown`.
"""

from enum import StrEnum


class RejectReason(StrEnum):
    """Why the exchange refused, as far as the engine acts differently on it."""

    NO_MATCH = "no_match"
    """IOC found nothing within its limit: worth a new intent at the current price."""
    EXPIRED = "expired"
    """Arrived after `expires_after_ms`: worth a new intent."""
    NONCE = "nonce"
    """The nonce was outside the signer's window: worth a new intent with a fresh nonce."""
    MARGIN = "margin"
    """Not enough margin: a person has to look."""
    TRIGGER = "trigger"
    """The mark has passed the trigger of a stop already: a stop is too late here."""
    KEY = "key"
    """Only the account's own key may do it, and an API wallet signed: a person has to."""
    RULE = "rule"
    """Tick, lot, minimum, reduce-only or any other rule: retrying the same is pointless."""


class ExchangeError(Exception):
    """Base of the three. Texts never hold keys or signatures."""


class NotSent(ExchangeError):
    """The request had no effect: safe to do again as it is (no connection, rate limit).

    `over_limit`: the exchange refused it because too much was asked from this address of the network.
    """

    def __init__(self, text: str, *, over_limit: bool = False) -> None:
        super().__init__(text)
        self.over_limit = over_limit


class Rejected(ExchangeError):
    """The exchange refused and said why: doing the same again is pointless."""

    def __init__(self, text: str, reason: RejectReason = RejectReason.RULE) -> None:
        super().__init__(text)
        self.reason = reason


class Unknown(ExchangeError):
    """It may have happened: ask by cloid and nonce before anything else."""
