"""What `backtest` and `optimise` both ask, in the same words."""

from pathlib import Path
from typing import Annotated

import typer

Prices = Annotated[
    Path, typer.Argument(help="CSV (also .gz, .zst) or Parquet: ts (ms UTC) and price, or ts,open,high,low,close.")
]
Coin = Annotated[str, typer.Option(help="The exchange's name of the coin; required.", show_default=False)]
Margin = Annotated[str, typer.Option(help="Given to the trade, USD; required.", show_default=False)]
UnitMode = Annotated[str, typer.Option(help="full, or grid (memoryless, for comparison).")]
FeeBps = Annotated[str, typer.Option(help="Of an order's notional.")]
SlippageBps = Annotated[str, typer.Option(help="Beyond the tick's price, for every order.")]
HalfSpread = Annotated[str, typer.Option(help="USD beyond the tick's price, besides slippage.")]
Funding = Annotated[
    str, typer.Option(help="none, a rate per hour such as 0.0000125, or a file with columns ts and rate.")
]
Lot = Annotated[
    str, typer.Option(help="exchange (its size steps and $10 minimum), none (exact), or a size step in coin.")
]
Liquidation = Annotated[str, typer.Option(help="exchange (at its maintenance margin), or none.")]
Since = Annotated[str, typer.Option("--from", help="First time: 2025-06-01, 2025-06-01T12:00 or ms, UTC.")]
Until = Annotated[str, typer.Option("--to", help="The time before which it ends.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
