"""Counting units along one price."""

import logging
from decimal import Decimal

from strategy.units import UnitGrid

_log = logging.getLogger(__name__)

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]


class UnitTracker:
    """Where a price stands on a trade's grid. Lines count from the anchor; so do the numbers it logs."""

    def __init__(self, grid: UnitGrid, line: int = 0, log: Log = _log) -> None:
        self.grid = grid
        self.line = line
        self._log = log

    def observe(self, price: Decimal) -> int | None:
        """The new line if this price completes one or more units, else None."""
        reached = self.grid.line_reached(self.line, price)
        if reached == self.line:
            return None
        self._log.info("Unit change: %d -> %d", self.line, reached)
        self.line = reached
        return reached
