"""How the exchange's errors look to Temporal: it retries what is worth it, the rest ends with one line."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio.exceptions import ApplicationError

from exchange.errors import ExchangeError, Rejected

REFUSED = "Refused"
"""Type of the failures that say what a person has to change."""


def refused(text: str) -> ApplicationError:
    return ApplicationError(text, type=REFUSED, non_retryable=True)


def check_own(asked: tuple[str, str], own: tuple[str, str]) -> None:
    """Both are (network, account). Raises the retryable `WrongAccount`: what is another worker's waits for it."""
    if asked != own:
        raise ApplicationError(
            f"the work is of account {asked[1]} on {asked[0]}; this worker serves {own[1]} on {own[0]}",
            type="WrongAccount",
        )


@asynccontextmanager
async def told_to_temporal() -> AsyncIterator[None]:
    """Rejected ends the activity; NotSent and Unknown are asked again, since every verb here is safe to run twice."""
    try:
        yield
    except Rejected as error:
        raise refused(str(error)) from error
    except ExchangeError as error:
        raise ApplicationError(str(error), type=type(error).__name__) from error
