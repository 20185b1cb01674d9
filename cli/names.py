"""What a trade is called: ETH, by its coin; ETH-hedge one more on the coin, which has a name of its own."""

import re

from cli.errors import BadOption, ExchangeAway
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
    """Of a trade there is: a pause or a close can be said, and a report read, while the exchange is away. Raises
    CommandFailed for a coin that is not listed, and BadOption."""
    try:
        async with Venue(chosen) as venue:
            return await known_as(text, venue)
    except ExchangeAway:
        return as_typed(text)


async def known_as(text: str, venue: Venue) -> str:
    """As its workflow has it: the coin in any case, ETH/USDC:USDC too. Raises CommandFailed for one that is not listed,
    ExchangeAway, and BadOption."""
    symbol, hyphen, name = text.partition("-")
    return _joined(await venue.coin_of(symbol), hyphen, name)


def as_typed(text: str) -> str:
    """Where nobody can be asked for the coin's name: kPEPE stays, eth is ETH. Raises BadOption."""
    symbol, hyphen, name = text.partition("-")
    coin = symbol.split("/")[0]
    return _joined(coin.upper() if coin.islower() else coin, hyphen, name)


def _joined(coin: str, hyphen: str, name: str) -> str:
    return f"{coin}-{checked_name(name)}" if hyphen else coin
