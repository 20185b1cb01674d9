"""Equity over time: peaks and falls, fed price by price or stretch by stretch."""

from collections.abc import Sequence
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from backtest.prices import Stretch
from strategy.values import ZERO


class EquityCurve:
    """Peak, trough and drawdowns of equity, fed with the value at every price."""

    def __init__(self, start_usd: Decimal, time_ms: int = 0) -> None:
        self.peak_usd = self.lowest_usd = start_usd
        self.max_drawdown_usd = self.max_drawdown = ZERO
        self.from_ms = self.to_ms = self._peak_ms = time_ms
        """Peak and bottom of the largest fall by share."""
        self._worst = ZERO, start_usd
        self._deeper_below = start_usd

    def see(self, equity_usd: Decimal, time_ms: int = 0) -> None:
        """Equity at one more price. Nearly all lie between the peak and the deepest fall and change nothing."""
        if equity_usd > self.peak_usd:
            self.peak_usd, self._peak_ms = equity_usd, time_ms
            self._watch()
        elif equity_usd < self._deeper_below:
            fall_usd = self.peak_usd - equity_usd
            self.max_drawdown_usd = max(self.max_drawdown_usd, fall_usd)
            worst_usd, of_usd = self._worst
            # Multiplied out: a quotient is rounded, and the same fall would look deeper the second time.
            if fall_usd * of_usd > worst_usd * self.peak_usd:
                self._worst = fall_usd, self.peak_usd
                self.max_drawdown = fall_usd / self.peak_usd
                self.from_ms, self.to_ms = self._peak_ms, time_ms
            self.lowest_usd = min(self.lowest_usd, equity_usd)
            self._watch()

    def see_stretch(self, stretch: Stretch, start: int, stop: int, offset: Decimal, net_qty: Decimal) -> None:
        """Equity offset + net_qty * price at prices `start` to `stop`, as if each had been seen."""
        points = stretch.points[start:stop]
        ends = (Decimal(int(end)).scaleb(-stretch.decimals) for end in (points.min(), points.max()))
        extremes = [offset + net_qty * end for end in ends]
        if max(extremes) <= self.peak_usd and min(extremes) >= self._deeper_below:
            return
        for index in self._news(points, stretch.decimals, float(offset), float(net_qty)):
            price = Decimal(int(points[index])).scaleb(-stretch.decimals)
            self.see(offset + net_qty * price, int(stretch.times_ms[(start + index) // stretch.per_row]))

    def _news(self, points: NDArray[np.int64], decimals: int, offset: float, net_qty: float) -> Sequence[int]:
        """The prices that can change anything: the bottoms of the deepest falls, and the peaks they fell from."""
        equity = points * (net_qty / 10**decimals) + offset
        peak = np.maximum(np.maximum.accumulate(equity), float(self.peak_usd))
        fall = peak - equity
        kept = {int(equity.argmax()), int(equity.argmin())}
        for bottom in (int(fall.argmax()), int((fall / peak).argmax()) if peak[0] > 0 else 0):
            kept |= {int(equity[: bottom + 1].argmax()), bottom}
        return sorted(kept)

    def _watch(self) -> None:
        # A fall is news when it is deeper in dollars or in share of the peak, whichever comes first. A new lowest
        # equity is always both: the peak has not fallen since the lowest before it.
        self._deeper_below = max(self.peak_usd - self.max_drawdown_usd, self.peak_usd * (1 - self.max_drawdown))
