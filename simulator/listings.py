"""Everything that has a book, perpetuals and spot pairs, by name and by asset id."""

from simulator.grid import Listing
from simulator.markets import BY_COIN, MARKETS, made_up
from simulator.spot import PAIR_OF, PAIRS

LISTED: dict[str, Listing] = {**BY_COIN, **PAIR_OF}
BY_ASSET: dict[int, Listing] = {listing.asset: listing for listing in (*MARKETS, *PAIRS)}


def list_more(count: int) -> None:
    """So many made-up coins beside the bundled ones, in this process: to be called before there is a venue."""
    for asset in range(len(MARKETS), len(MARKETS) + count):
        market = made_up(asset)
        MARKETS.append(market)
        BY_COIN[market.coin] = LISTED[market.coin] = BY_ASSET[asset] = market
