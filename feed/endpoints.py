"""Where an installation's prices come from."""

from dataclasses import dataclass

from exchange.network import endpoint
from settings import Settings


@dataclass(frozen=True, slots=True)
class PriceEndpoints:
    ws_url: str
    info_url: str


def price_endpoints(settings: Settings) -> PriceEndpoints:
    """The exchange's WebSocket beside its HTTP address. Raises exchange.network.SetupRefused as that address does."""
    url = endpoint(settings).url
    return PriceEndpoints(ws_url=f"ws{url.removeprefix('http')}/ws", info_url=f"{url}/info")
