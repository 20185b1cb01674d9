"""Everything that can be set on a simulator."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from simulator.funding_rates import FundingRates
from simulator.listings import LISTED
from simulator.prices import Clock, PriceSource
from simulator.wire import lower_address


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)


class Depth(Part):
    """The makers' book on each side of the mid: `levels` neighbouring ticks with `size_usd` each.

    `refill` says when what was taken is quoted anew: after each order, or only with the coin's next price.
    """

    levels: int = Field(default=20, ge=0, le=1000)
    size_usd: Decimal = Field(default=Decimal(250_000), gt=0)
    half_spread_ticks: Decimal = Field(default=Decimal(1), gt=0)
    refill: Literal["order", "price"] = "order"


class Fees(Part):
    """Shares of notional; base tier."""

    taker: Decimal = Decimal("0.00045")
    maker: Decimal = Decimal("0.00015")
    spot_taker: Decimal = Decimal("0.0007")
    spot_maker: Decimal = Decimal("0.0004")


class SimulatorConfig(Part):
    """One simulated venue.

    Ports of 0 are chosen by the system. Without `state_dir` nothing is kept. `price_source` makes the source of
    prices for the clock it is given; without one prices stand at the markets' reference prices (or `prices`)
    until the control API moves them. `funded` is deposited only when an account is seen for the first time.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    control_port: int = Field(default=0, ge=0, le=65535)
    state_dir: Path | None = None
    log_file: Path | None = None
    """JSONL of every request; appended to."""
    price_source: Callable[[Clock], PriceSource] | None = None
    speed: float = Field(default=1.0, gt=0)
    paused: bool = False
    prices: dict[str, Decimal] = Field(default_factory=dict)
    funded: dict[str, Decimal] = Field(default_factory=dict)
    """Perpetuals collateral in USD per address."""
    fees: Fees = Fees()
    depth: Depth = Depth()
    depth_by_coin: dict[str, Depth] = Field(default_factory=dict)
    print_usd: Decimal = Field(default=Decimal(1000), gt=0)
    """Notional of the makers' own trade at each price."""
    visibility_lag_ms: int = Field(default=0, ge=0)
    """How long `orderStatus` does not know an order that was already acknowledged."""
    reduce_only_oversize: Literal["shrink", "reject"] = "shrink"
    fault_seed: int = 0
    """Seed of the chance by which faults with a probability strike."""
    funding: FundingRates = FundingRates()
    """What is paid at each full hour of market time; nothing unless set."""
    referral_codes: tuple[str, ...] = ("CCXT1",)
    market_time: Literal["wall", "simulated"] = "wall"
    """Time base of every market time on the wire (trades, fills, books, candles, orders)."""
    weight_per_minute: int | None = Field(default=None, gt=0)
    """What one address of the network may ask in a minute, by the exchange's weights; 429 beyond. None: no limit."""
    idle_close_s: float = Field(default=60.0, gt=0)
    stream_interval_s: float = Field(default=0.5, gt=0)
    """Pace of the coalesced channels: l2Book, allMids, activeAssetCtx, candle and account states."""

    @field_validator("funded")
    @classmethod
    def _lower_addresses(cls, funded: dict[str, Decimal]) -> dict[str, Decimal]:
        return {lower_address(address): usd for address, usd in funded.items()}

    @field_validator("prices", "depth_by_coin")
    @classmethod
    def _known_coins(cls, by_coin: dict[str, object]) -> dict[str, object]:
        for coin in by_coin:
            if coin not in LISTED:
                raise ValueError(f"coin is {coin}: allowed are {', '.join(LISTED)}")
        return by_coin
