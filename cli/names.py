"""What a trade is called: ETH, by its coin; ETH-hedge one more on the coin, which has a name of its own."""

import re

from cli.errors import BadOption
from cli.venue import Venue
from settings import Settings

_NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")


def checked_name(name: str) -> str:
    """Raises BadOption."""
    if not _NAME.fullmatch(name):
        raise BadOption(
            f"name is {name!r}: a letter and up to 19 letters, digits or hyphens, all in lower case, are allowed"
        )
    return name


def coin_in(trade: str) -> str:
    return trade.partition("-")[0]


async def trade_called(text: str, chosen: Settings) -> str:
    """As its workflow has it: the coin in any case, ETH/USDC:USDC too. Raises CommandFailed for one that is not listed,
    and BadOption."""
    symbol, hyphen, name = text.partition("-")
    async with Venue(chosen) as venue:
        coin = await venue.coin_of(symbol)
    return f"{coin}-{checked_name(name)}" if hyphen else coin
