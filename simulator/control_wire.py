"""What the parts of the control API share: bodies that are checked, answers in JSON."""

from collections.abc import Awaitable, Callable, Collection
from decimal import Decimal
from typing import Annotated, Any, TypeVar

import orjson
from aiohttp import web
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from simulator.listings import LISTED
from simulator.markets import BY_COIN
from simulator.spot import FOLLOWERS
from simulator.wire import dumps

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Body = TypeVar("Body")


def _one_of(names: Collection[str]) -> Callable[[str], str]:
    def check(coin: str) -> str:
        if coin not in names:
            raise ValueError(f"coin is {coin}: allowed are {', '.join(names)}")
        return coin

    return check


def _amount(value: object) -> Decimal:
    return Decimal(str(value))


Coin = Annotated[str, AfterValidator(_one_of(LISTED))]
Perpetual = Annotated[str, AfterValidator(_one_of(BY_COIN))]
Follower = Annotated[str, AfterValidator(_one_of([pair.coin for pair in FOLLOWERS.values()]))]
Amount = Annotated[Decimal, BeforeValidator(_amount)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


async def read(request: web.Request, check: Callable[[object], Body]) -> Body:
    """The body in its shape; answers 400 with one line that says what is allowed if it does not fit."""
    try:
        return check(orjson.loads(await request.read() or b"{}"))
    except orjson.JSONDecodeError as error:
        raise web.HTTPBadRequest(text=f"the body is not JSON: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise web.HTTPBadRequest(text=wrong) from error


def answer(value: Any) -> web.Response:
    return web.Response(body=dumps(value), content_type="application/json")
