"""A difference in words, for the person who has to answer it."""

from datetime import UTC, datetime

from exchange.port import Fill
from strategy.values import plain
from workflows.contracts import Difference


def difference_words(difference: Difference, coin: str, trade: str) -> str:
    """What differs, what others did, and what can be answered."""
    parts = []
    ledgers_size = difference.wanted_size + difference.others_size
    if difference.held_size != ledgers_size:
        sizes = {trade: difference.wanted_size, **difference.others}
        named = ", ".join(f"{name} {plain(size):f}" for name, size in sizes.items())
        whose = f"its trades {plain(ledgers_size):f} ({named})"
        have = whose if difference.others else f"the trade {plain(ledgers_size):f}"
        parts.append(f"the exchange holds {plain(difference.held_size):f} {coin}, {have}")
    if difference.leverage != difference.wanted_leverage:
        parts.append(f"leverage is {difference.leverage}x, the trade's is {difference.wanted_leverage}x")
    told = [_fill_words(fill, coin) for fill in difference.fills]
    if difference.held_size != ledgers_size and not told:
        told.append("no fill of others explains it")
    beside = " in one of its trades, then resume the others" if difference.others else ""
    return f"{'; '.join([*parts, *told])}; answer adopt, rehedge, release or close{beside}"


def _fill_words(fill: Fill, coin: str) -> str:
    who = "LIQUIDATED: " if fill.liquidation else "by others: "
    verb = "bought" if fill.size > 0 else "sold"
    at = datetime.fromtimestamp(fill.time_ms / 1000, UTC)
    return f"{who}{verb} {plain(abs(fill.size)):f} {coin} at {plain(fill.price):f} on {at:%Y-%m-%d %H:%M:%S} UTC"
