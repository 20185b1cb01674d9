"""The trades of the sweep and the soak: small units, and a ladder that is through every phase within two of them."""

from dataclasses import dataclass, replace
from decimal import Decimal

from plans.plan import Backstop
from strategy.fibonacci import Fibonacci
from strategy.ladder import Ladder
from workflows.asked import TradeInput

LADDER = Ladder.model_validate(
    {
        "name": "sweep",
        "fragment": "0.4",
        "retracement": [{"sell_long": 1, "open_short": 1}, {"sell_long": "rest", "open_short": "same"}],
        "hedge_fragment": "0.5",
        "cover_from": 1,
        "cover_rest_at": 2,
        "sweep_at": 2,
    }
)
"""Two steps down and two up: every phase within two units."""


HEDGE = Fibonacci.model_validate(
    {
        "name": "sweep",
        "levels": [{"at": "0.25", "long": "0.5", "short": "0.5"}, {"at": "0.75", "long": 0, "short": "0.5"}],
        "min_gain_units": 2,
        "short_trailing_stop": "0.0004",
        "reentry_units": 1,
    }
)
"""Armed after two units; one unit up from the low is its stop, one more begins the next fractal."""


@dataclass(frozen=True)
class Terms:
    coin: str = "ETH"
    price: Decimal = Decimal(2500)
    margin_usd: Decimal = Decimal(1000)
    unit_size: Decimal = Decimal(2)
    leverage: int = 10
    ladder: Ladder | Fibonacci = LADDER
    backstop: Backstop | None = None

    def asked(self) -> TradeInput:
        return TradeInput(
            coin=self.coin,
            margin_usd=self.margin_usd,
            unit_size=self.unit_size,
            leverage=self.leverage,
            ladder=self.ladder,
            backstop=self.backstop,
            accepts_costs=True,
        )


HEDGED = Terms(leverage=1, ladder=HEDGE)
GUARDED = replace(HEDGED, backstop=Backstop(beyond=Decimal("0.001")))
"""So near that it is replaced when the low falls by a unit, and so far that the story never comes to it."""
