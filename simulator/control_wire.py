"""What the parts of the control API share: bodies that are checked, answers in JSON."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Annotated, Any, TypeVar

import orjson
from aiohttp import web
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from simulator.markets import BY_COIN
from simulator.wire import dumps

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Body = TypeVar("Body")


def _coin(coin: str) -> str:
    if coin not in BY_COIN:
        raise ValueError(f"coin is {coin}: allowed are {', '.join(BY_COIN)}")
    return coin


def _amount(value: object) -> Decimal:
    return Decimal(str(value))


Coin = Annotated[str, AfterValidator(_coin)]
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
