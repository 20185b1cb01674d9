"""The way to Temporal, the same for every process."""

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from settings import Settings


class TemporalUnreachable(Exception):
    """One line with the address and what to do."""


async def connect(settings: Settings) -> Client:
    """A client of this installation's namespace. Raises TemporalUnreachable at once when nobody answers."""
    try:
        return await Client.connect(
            settings.temporal_address, namespace=settings.temporal_namespace, data_converter=pydantic_data_converter
        )
    except RuntimeError as error:
        raise TemporalUnreachable(
            f"Temporal does not answer at {settings.temporal_address}: start it with `hypertrader up`, "
            "or name another address in HYPERTRADER_TEMPORAL_ADDRESS"
        ) from error
