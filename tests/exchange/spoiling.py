"""Ways in which an answer of the exchange goes wrong, each of them seen on real connections."""

from collections.abc import Awaitable, Callable

from aiohttp import web

Forward = Callable[[], Awaitable[bytes]]
Spoil = Callable[[web.Request, bytes, Forward], Awaitable[web.StreamResponse]]


def answer(status: int, text: str, content_type: str = "application/json") -> Spoil:
    """This instead of the exchange, which never sees the request."""

    async def spoil(request: web.Request, raw: bytes, forward: Forward) -> web.StreamResponse:
        return web.Response(status=status, text=text, content_type=content_type)

    return spoil


def after(then: Spoil) -> Spoil:
    """The exchange performs the request, and its answer is replaced."""

    async def spoil(request: web.Request, raw: bytes, forward: Forward) -> web.StreamResponse:
        await forward()
        return await then(request, raw, forward)

    return spoil


async def hang_up(request: web.Request, raw: bytes, forward: Forward) -> web.StreamResponse:
    """The connection ends without a byte."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def cut_off(request: web.Request, raw: bytes, forward: Forward) -> web.StreamResponse:
    """A good beginning, then the connection ends in the middle of the body."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "500"})
    await response.prepare(request)
    await response.write(b'{"status":"ok","response":{"type":"order",')
    assert request.transport is not None
    request.transport.abort()
    return response


HTML = "<html><body>Bad gateway</body></html>"

SPOILT: dict[str, Spoil] = {
    "hang up": hang_up,
    "cut off": cut_off,
    "429": answer(429, "null"),
    "500": answer(500, "null"),
    "502 html": answer(502, HTML, "text/html"),
    "504 html": answer(504, HTML, "text/html"),
    "403 html": answer(403, HTML, "text/html"),
    "422": answer(422, "Failed to deserialize the JSON body into the target type", "text/plain"),
    "200 html": answer(200, HTML, "text/html"),
    "200 null": answer(200, "null"),
    "200 empty": answer(200, ""),
    "200 other shape": answer(200, '{"status":"ok","response":{"type":"default"}}'),
    "200 half a reply": answer(200, '{"status":"ok","response":{"type":"order","data":{"statuses":[]}}}'),
    "rate limit text": answer(
        200,
        '{"status":"err","response":"Too many cumulative requests sent (12 > 10) for cumulative volume traded $1."}',
    ),
}
