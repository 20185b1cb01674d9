"""Is liquidation near? Told once per approach."""

from decimal import Decimal

from exchange.port import Position
from strategy.values import plain

AWAY_AGAIN = Decimal("1.5")
"""Times the distance that is near: only then the next approach is another one."""


def distance_pct(position: Position) -> Decimal | None:
    """From the mark price to the liquidation price; None when nothing held can be liquidated."""
    if not position.size or not position.mark_price or position.liquidation_price is None:
        return None
    return 100 * abs(position.mark_price - position.liquidation_price) / position.mark_price


def is_near(position: Position, within_pct: Decimal, *, was_near: bool) -> bool:
    """`within_pct` 0 is never."""
    distance = distance_pct(position)
    return distance is not None and distance < within_pct * (AWAY_AGAIN if was_near else 1)


def nearness_words(position: Position) -> str:
    mark_price, liquidation_price, distance = position.mark_price, position.liquidation_price, distance_pct(position)
    assert mark_price is not None and liquidation_price is not None and distance is not None
    return (
        f"liquidation is near: at {plain(liquidation_price):.8g}, {distance:.1f}% from the mark price "
        f"{plain(mark_price):.8g}"
    )
