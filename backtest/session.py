"""One run: the trade, what holding would have made of the same money, and the hours they all pay for."""

from decimal import Decimal
from itertools import pairwise

from backtest.book import Book, Holding
from backtest.funding import HOUR_MS, NO_FUNDING, Funding
from backtest.journal import Journal
from backtest.ratios import DAY_MS, calmar, cycle_figures, day_figures, growth_a_year, sharpe, sortino
from backtest.setup import Setup
from backtest.summary import Summary
from backtest.trade import Trade
from strategy.values import QUANTUM, ZERO, Tick


class Session:
    """Opened at the first price. A path follows the rest and keeps `rows` and `prices`, so far, and the last ones."""

    def __init__(
        self,
        setup: Setup,
        price: Decimal,
        time_ms: int,
        journal: Journal,
        funding: Funding = NO_FUNDING,
        *,
        keep: bool = False,
    ) -> None:
        """Raises CannotOpenError."""
        self.setup, self.funding = setup, funding
        self.trade = Trade(setup, price, time_ms, journal, keep=keep)
        # Only its size is another: less than a lot at 1x is held all the same.
        at_1x = setup.model_copy(update={"leverage": 1, "lot": QUANTUM, "min_notional_usd": ZERO})
        self.hold = Holding(setup, price, time_ms, keep_lines=keep)
        self.hold_1x = Holding(at_1x, price, time_ms, keep_lines=keep)
        self.rows, self.prices = 0, 1
        self.first_ms = self.last_ms = time_ms
        self.last_price = price
        self._tick_ms = HOUR_MS if funding else DAY_MS
        self.next_ms = (time_ms // self._tick_ms + 1) * self._tick_ms
        """The next full hour or midnight: from there on `strike` has to be called first."""

    @property
    def books(self) -> tuple[Book, ...]:
        return self.trade, self.hold, self.hold_1x

    @property
    def ended(self) -> bool:
        return self.trade.ended

    def strike(self, time_ms: int) -> None:
        """End every day and pay every hour up to `time_ms`, at the last price before it."""
        while self.next_ms <= time_ms:
            if self.next_ms % DAY_MS == 0:
                for book in self.books:
                    book.close_day(self.last_price)
            rate = self.funding.rate(self.next_ms) if self.funding else ZERO
            if rate:
                for book in self.books:
                    book.pay_funding(self.prices, rate, self.last_price)
            self.next_ms += self._tick_ms

    def summary(self) -> Summary:
        """At the last price; called once, at the end."""
        setup, trade, last_price = self.setup, self.trade, self.last_price
        trade.finish(Tick(price=last_price, time_ms=self.last_ms), self.prices)
        state, fills, curve, clock = trade.state, trade.fills, trade.curve, trade.clock
        equity_usd = trade.equity(last_price)
        gain = equity_usd / setup.margin_usd - 1
        days = [*trade.days, equity_usd]
        finished = trade.cycle_ends[:-1]
        lengths_ms = [end - start for start, end in pairwise([self.first_ms, *(end.time_ms for end in finished)])]
        span_ms = self.last_ms - self.first_ms
        return Summary(
            coin=setup.coin,
            ladder=setup.ladder.name,
            leverage=setup.leverage,
            unit_size=setup.unit_size,
            margin_usd=setup.margin_usd,
            equity_usd=equity_usd,
            pnl_usd=equity_usd - setup.margin_usd,
            return_on_margin=gain,
            max_drawdown_usd=curve.max_drawdown_usd,
            max_drawdown=curve.max_drawdown,
            drawdown_from_ts=curve.from_ms,
            drawdown_to_ts=curve.to_ms,
            lowest_equity_usd=curve.lowest_usd,
            highest_equity_usd=curve.peak_usd,
            growth_a_year=growth_a_year(float(gain), span_ms),
            calmar=calmar(float(gain), span_ms, float(curve.max_drawdown)),
            liquidated=trade.liquidated,
            breach=state.breach,
            sharpe=sharpe(setup.margin_usd, days),
            sortino=sortino(setup.margin_usd, days),
            per_day=day_figures(setup.margin_usd, days),
            hold=self.hold.summary(last_price),
            hold_1x=self.hold_1x.summary(last_price),
            cycles=state.cycle,
            resets=len(finished),
            win_rate=sum(end.pnl_usd > 0 for end in finished) / len(finished) if finished else None,
            per_cycle=cycle_figures([end.pnl_usd for end in finished], lengths_ms),
            orders=fills.orders,
            last_order_ts=trade.last_order_ms,
            orders_beyond_margin=fills.beyond_margin,
            fees_usd=fills.fees_usd,
            funding_usd=trade.funding_usd,
            funding_hours_missing=self.funding.missing_hours(self.first_ms, self.last_ms),
            slippage_usd=fills.slippage_usd,
            gap_loss_usd=state.losses.gap_usd,
            whipsaw_loss_usd=state.losses.whipsaw_usd,
            phase=state.phase,
            unit=state.current_unit,
            phase_ms=clock.ms,
            phase_ticks=clock.ticks,
            exposure=clock.held_ms / span_ms if span_ms else 1.0,
            rows=self.rows,
            prices=self.prices,
            first_ts=self.first_ms,
            last_ts=self.last_ms,
            journal_lines=trade.journal.lines,
            decisions_sha256=trade.journal.sha256,
        )
