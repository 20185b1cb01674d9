"""Which coins the exchange lists: asked before a coin is subscribed, since a wrong one closes the socket for all."""

import asyncio
import difflib
import logging
import math
import time

import aiohttp

from exchange.errors import NotSent
from exchange.governor import Governor
from feed.info import UNGOVERNED, ask
from feed.subscription import UnknownCoin

TIMEOUT_S = 5.0
ASK_AGAIN_AFTER_S = 5.0
"""Of an exchange that did not answer: coins that come meanwhile don't wait for it one after the other."""

_log = logging.getLogger(__name__)


class Listing:
    def __init__(self, info_url: str, governor: Governor = UNGOVERNED) -> None:
        self._info_url = info_url
        self._governor = governor
        self._coins: frozenset[str] = frozenset()
        self._asking = asyncio.Lock()
        self._failed_at = -math.inf

    async def vouches_for(self, coin: str) -> bool:
        """Whether the exchange lists the coin; False if it could not be asked. Raises UnknownCoin if it does not."""
        if coin in self._coins:
            return True
        async with self._asking:
            if time.monotonic() - self._failed_at < ASK_AGAIN_AFTER_S:
                return False
            try:
                self._coins = self._coins if coin in self._coins else await self._listed()
            except (NotSent, aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError) as error:
                self._failed_at = time.monotonic()
                reason = f"{type(error).__name__}: {error}"
                _log.warning("Could not look the coin up (%s): trying it as it is", reason, extra={"coin": coin})
                return False
        if coin in self._coins:
            return True
        near = difflib.get_close_matches(coin.upper(), self._coins, n=3) or sorted(self._coins)[:5]
        raise UnknownCoin(f"coin is {coin}: the exchange lists no such perpetual; near are {', '.join(near)}")

    def forget(self, coin: str) -> None:
        """Ask again the next time."""
        self._coins -= {coin}

    async def _listed(self) -> frozenset[str]:
        meta = await ask(self._info_url, {"type": "meta"}, timeout_s=TIMEOUT_S, governor=self._governor)
        return frozenset(entry["name"] for entry in meta["universe"] if not entry.get("isDelisted"))
