"""The venue's replay protection: per signer the 100 highest nonces, within a window around wall time.

Not per account: an agent and its master have separate sets.
"""

import bisect
from collections.abc import Iterable

KEPT = 100
DAY_MS = 86_400_000
EDGE_MS = 120_000
"""Measured: both edges of the window lie about two minutes inside the documented ones."""


class NonceRefused(Exception):
    """The text is the venue's."""


class Nonces:
    """`use` consumes a nonce or refuses it; a consumed nonce stays consumed whatever becomes of the action."""

    def __init__(self) -> None:
        self._kept: dict[str, list[int]] = {}

    def restore(self, signer: str, nonces: Iterable[int]) -> None:
        self._kept[signer] = sorted(nonces)[-KEPT:]

    def kept(self, signer: str) -> tuple[int, ...]:
        return tuple(self._kept.get(signer, ()))

    def use(self, signer: str, nonce: int, wall_ms: int) -> int | None:
        """Consume `nonce`; returns the one that fell out of the set, if any. Raises NonceRefused."""
        kept = self._kept.setdefault(signer, [])
        lowest, highest = wall_ms - 2 * DAY_MS + EDGE_MS, wall_ms + DAY_MS - EDGE_MS
        if nonce > highest:
            raise NonceRefused(f"Invalid nonce: nonce too high {nonce} > {highest}")
        at = bisect.bisect_left(kept, nonce)
        if at < len(kept) and kept[at] == nonce:
            raise NonceRefused(f"Invalid nonce: duplicate nonce {nonce}")
        if len(kept) >= KEPT:
            lowest = max(lowest, kept[0])
        if nonce < lowest:
            raise NonceRefused(f"Invalid nonce: nonce too low {nonce} < {lowest}")
        kept.insert(at, nonce)
        return kept.pop(0) if len(kept) > KEPT else None
