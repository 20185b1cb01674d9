"""One question to `/info`: the fields it may have, and what answering it needs."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict

from simulator.candles import Candles
from simulator.listings import LISTED
from simulator.markets import BY_COIN, Market
from simulator.records import Account
from simulator.shape import Int
from simulator.venue import Venue, known_coin
from simulator.wire import Address, Cloid


class BadRequest(Exception):
    """Unknown type or a field that does not fit: HTTP 422."""


class CandleRequest(BaseModel):
    coin: str
    interval: str
    startTime: Int
    endTime: Int | None = None


class InfoRequest(BaseModel):
    """Every field any type uses; `needs` names those the type at hand can't do without."""

    model_config = ConfigDict(extra="ignore")
    type: str
    user: Address | None = None
    coin: Annotated[str, Strict()] | None = None
    oid: Int | Cloid | None = None
    startTime: Int | None = None
    endTime: Int | None = None
    req: CandleRequest | None = None
    builder: Address | None = None
    dex: Literal[""] | None = None
    nSigFigs: Annotated[int, Field(ge=2, le=5)] | None = None
    mantissa: Literal[1, 2, 5] | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A valid request and where its answer comes from."""

    request: InfoRequest
    venue: Venue
    candles: Candles

    @property
    def user(self) -> str:
        """For types that need a user."""
        assert self.request.user is not None
        return self.request.user

    @property
    def account(self) -> Account:
        return self.venue.account(self.user)

    def coin(self) -> str:
        """The coin asked for. Raises BadRequest for one that is not listed."""
        coin = self.request.coin
        if coin is None or not known_coin(coin):
            raise BadRequest(f"coin is {coin}: allowed are {', '.join(LISTED)}")
        return coin

    def perpetual(self) -> Market:
        """The perpetual asked for. Raises BadRequest for a coin that is none."""
        market = BY_COIN.get(self.coin())
        if market is None:
            raise BadRequest(f"coin is {self.request.coin}: allowed are {', '.join(BY_COIN)}")
        return market
