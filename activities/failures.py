"""How the exchange's errors look to Temporal: it retries what is worth it, the rest ends with one line."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio.exceptions import ApplicationError

from exchange.errors import ExchangeError, Rejected

REFUSED = "Refused"
"""Type of the failures that say what a person has to change."""


def refused(text: str) -> ApplicationError:
    return ApplicationError(text, type=REFUSED, non_retryable=True)


@asynccontextmanager
async def told_to_temporal() -> AsyncIterator[None]:
    """Rejected ends the activity; NotSent and Unknown are asked again, since every verb here is safe to run twice."""
    try:
        yield
    except Rejected as error:
        raise refused(str(error)) from error
    except ExchangeError as error:
        raise ApplicationError(str(error), type=type(error).__name__) from error
