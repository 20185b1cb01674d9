"""The way to Temporal, the same for every process."""

from temporalio.client import Client

from encryption import data_converter
from settings import Settings


class TemporalUnreachable(Exception):
    """One line with the address and what to do."""


async def connect(settings: Settings, *, lazy: bool = False) -> Client:
    """A client of this installation's namespace, sealing and opening payloads as its keys say.

    Raises TemporalUnreachable at once when nobody answers, unless `lazy`; encryption.EncryptionRefused when the payload
    keys don't fit the network."""
    try:
        return await Client.connect(
            settings.temporal_address,
            namespace=settings.temporal_namespace,
            data_converter=data_converter(settings),
            lazy=lazy,
        )
    except RuntimeError as error:
        raise TemporalUnreachable(
            f"Temporal does not answer at {settings.temporal_address}: start it with `hypertrader up`, "
            "or name another address in HYPERTRADER_TEMPORAL_ADDRESS"
        ) from error
