"""Questions to `POST /info`, within the feed's share of the rate budget."""

from collections.abc import Mapping
from typing import Any

import aiohttp

from exchange import weights
from exchange.governor import Governor

UNGOVERNED = Governor(None)


async def ask(url: str, request: Mapping[str, Any], *, timeout_s: float, governor: Governor = UNGOVERNED) -> Any:
    """The answer, as JSON. Raises NotSent when there was no room for the question, and what aiohttp raises."""
    async with governor.turn(weights.of_info(request)) as turn:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s)) as session:
            async with session.post(url, json=request) as response:
                if response.status == 429:
                    turn.was_not_let_in(over_limit=True)
                response.raise_for_status()
                answer = await response.json()
        turn.came_to(answer)
        return answer
