"""Other backtesters on the same candles: orders whenever the close crosses the next level of a grid.

None of them has a ladder of its own. Each does the nearest thing in its own way: a level crossed upwards buys a fixed
quantity, one crossed downwards sells it. Loading and converting the prices is not counted, nor importing or compiling.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtest.prices import Stretch

CASH_USD = 10_000_000
"""No order of any of them is ever too large."""


@dataclass(frozen=True, slots=True)
class Other:
    name: str
    does: str
    run: Callable[[Stretch, float], tuple[float, int]]
    """Seconds of processor time and orders, for prices and a unit."""


def columns(prices: Stretch) -> dict[str, NDArray[np.float64]]:
    path = prices.points.reshape(-1, 4) / 10**prices.decimals
    low, high = np.minimum(path[:, 1], path[:, 2]), np.maximum(path[:, 1], path[:, 2])
    return {"Open": path[:, 0], "High": high, "Low": low, "Close": path[:, 3], "Volume": np.ones(len(path))}


def frame(prices: Stretch) -> Any:
    import pandas as pd

    return pd.DataFrame(columns(prices), index=pd.to_datetime(prices.times_ms, unit="ms", utc=True).tz_localize(None))


def _backtesting(prices: Stretch, unit: float) -> tuple[float, int]:
    from backtesting import Backtest, Strategy

    class Levels(Strategy):  # type: ignore[misc]
        def init(self) -> None:
            self.level = self.data.Close[0]
            self.sent = 0

        def next(self) -> None:
            close = self.data.Close[-1]
            while close >= self.level + unit:
                self.level += unit
                self.sent += 1
                self.buy(size=1)
            while close <= self.level - unit:
                self.level -= unit
                self.sent += 1
                self.sell(size=1)

    run = Backtest(frame(prices), Levels, cash=CASH_USD, commission=0.00045, finalize_trades=True)
    began_s = time.process_time()
    found = run.run()
    return time.process_time() - began_s, int(found["_strategy"].sent)


def _vectorbt(prices: Stretch, unit: float) -> tuple[float, int]:
    import vectorbt as vbt

    close = frame(prices)["Close"]

    def portfolio() -> Any:
        level = np.floor((close.to_numpy() - close.iloc[0]) / unit)
        size = np.diff(level, prepend=0.0)
        return vbt.Portfolio.from_orders(
            close, np.where(size == 0, np.nan, size), fees=0.00045, init_cash=CASH_USD, freq="1min"
        )

    orders = int(portfolio().orders.count())
    seconds = []
    for _ in range(3):
        began_s = time.process_time()
        portfolio()
        seconds.append(time.process_time() - began_s)
    return min(seconds), orders


def _nautilus(prices: Stretch, unit: float) -> tuple[float, int]:
    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.config import LoggingConfig
    from nautilus_trader.model import BarType, Money, Quantity
    from nautilus_trader.model.currencies import USDT
    from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
    from nautilus_trader.persistence.wranglers import BarDataWrangler
    from nautilus_trader.test_kit.providers import TestInstrumentProvider
    from nautilus_trader.trading.strategy import Strategy

    instrument = TestInstrumentProvider.ethusdt_perp_binance()
    kind = BarType.from_str(f"{instrument.id}-1-MINUTE-LAST-EXTERNAL")

    class Levels(Strategy):  # type: ignore[misc]
        level: float | None = None
        sent = 0

        def on_start(self) -> None:
            self.subscribe_bars(kind)

        def on_bar(self, bar: Any) -> None:
            close = bar.close.as_double()
            if self.level is None:
                self.level = close
            while close >= self.level + unit:
                self.level += unit
                self.send(OrderSide.BUY)
            while close <= self.level - unit:
                self.level -= unit
                self.send(OrderSide.SELL)

        def send(self, side: OrderSide) -> None:
            self.sent += 1
            self.submit_order(self.order_factory.market(instrument.id, side, Quantity.from_str("1.000")))

    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        instrument.id.venue,
        OmsType.NETTING,
        AccountType.MARGIN,
        [Money(CASH_USD, USDT)],
        base_currency=USDT,
    )
    engine.add_instrument(instrument)
    table = frame(prices).rename(columns=str.lower).round(instrument.price_precision).tz_localize("UTC")
    engine.add_data(BarDataWrangler(kind, instrument).process(table))
    strategy = Levels()
    engine.add_strategy(strategy)
    began_s = time.process_time()
    engine.run()
    seconds = time.process_time() - began_s
    sent = strategy.sent
    engine.dispose()
    return seconds, sent


ALL = (
    Other(
        "backtesting.py", "event by event: `next` compares each close with the next levels, market orders", _backtesting
    ),
    Other("vectorbt", "vectorised: the grid of each close as an array of order sizes, no state between", _vectorbt),
    Other("NautilusTrader", "event by event: `on_bar` on an engine that simulates the venue, market orders", _nautilus),
)
