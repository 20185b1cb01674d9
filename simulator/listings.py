"""Everything that has a book, perpetuals and spot pairs, by name and by asset id."""

from simulator.grid import Listing
from simulator.markets import BY_COIN, MARKETS
from simulator.spot import PAIR_OF, PAIRS

LISTED: dict[str, Listing] = {**BY_COIN, **PAIR_OF}
BY_ASSET: dict[int, Listing] = {listing.asset: listing for listing in (*MARKETS, *PAIRS)}
