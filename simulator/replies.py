"""Answers over HTTP, whole or spoilt by a fault."""

import asyncio
from dataclasses import dataclass
from typing import Literal

from aiohttp import web

from simulator.faults import (
    DropReply,
    DropRequest,
    FaultKind,
    Html,
    HttpStatus,
    NonceUsed,
    Slow,
    Truncate,
    WrongContentType,
)
from simulator.wire import dumps

JSON = "application/json"
PAGES = {502: "502 Bad Gateway", 504: "504 Gateway Time-out"}
"""Statuses that come with a web page; the others with `null`."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent, and what part of it is `cut`. `spoilt` says for the log what a fault did; empty: nothing."""

    body: bytes
    status: int = 200
    content_type: str = JSON
    cut: Literal["nothing", "half", "all"] = "nothing"
    over_s: float = 0.0
    spoilt: str = ""

    @property
    def is_whole(self) -> bool:
        """A complete JSON answer, which is all that a WebSocket can carry."""
        return self.cut == "nothing" and not self.over_s and self.status == 200 and self.content_type == JSON


def page(title: str, status: int, spoilt: str) -> Reply:
    html = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Reply(html.encode(), status, "text/html", spoilt=spoilt)


def status_reply(status: int) -> Reply:
    """What stands in front of the exchange says in its place."""
    spoilt = f"answered {status}"
    return page(PAGES[status], status, spoilt) if status in PAGES else Reply(b"null", status, spoilt=spoilt)


def refusal(fault: FaultKind, nonce: int) -> Reply:
    """The answer to a request that is not executed; `nonce` is its own."""
    match fault:
        case HttpStatus(status=status):
            return status_reply(status)
        case Html():
            return page("Maintenance", 200, "answered with HTML")
        case NonceUsed():
            duplicate = {"status": "err", "response": f"Invalid nonce: duplicate nonce {nonce}"}
            return Reply(dumps(duplicate), spoilt="answered duplicate nonce")
        case DropRequest():
            return Reply(b"", cut="all", spoilt="request dropped")
        case _:
            raise AssertionError(f"{fault.kind} refuses nothing")


def spoil(answer: object, fault: FaultKind | None) -> Reply:
    """The answer as the fault leaves it; whole without one."""
    body = dumps(answer)
    match fault:
        case None:
            return Reply(body)
        case DropReply():
            return Reply(body, cut="all", spoilt="reply dropped")
        case Truncate():
            return Reply(body, cut="half", spoilt="reply truncated")
        case HttpStatus(status=status):
            return status_reply(status)
        case Html():
            return page("Maintenance", 200, "answered with HTML")
        case WrongContentType():
            return Reply(body, content_type="text/plain", spoilt="wrong content type")
        case Slow(seconds=seconds):
            return Reply(body, over_s=seconds, spoilt="reply slow")
        case _:
            raise AssertionError(f"{fault.kind} spoils no reply")


async def send(request: web.Request, reply: Reply) -> web.StreamResponse:
    if reply.cut == "nothing" and not reply.over_s:
        return web.Response(body=reply.body, status=reply.status, content_type=reply.content_type)
    if reply.cut == "all":
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)
    return await _send_in_parts(request, reply)


async def _send_in_parts(request: web.Request, reply: Reply) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": JSON, "Content-Length": str(len(reply.body))})
    try:
        await response.prepare(request)
        if reply.cut == "half":
            await response.write(reply.body[: len(reply.body) // 2])
            if request.transport is not None:
                # After what was written has left; the length promised more.
                request.transport.close()
            return response
        for at in range(len(reply.body)):
            await response.write(reply.body[at : at + 1])
            await asyncio.sleep(reply.over_s / len(reply.body))
    except ConnectionResetError:
        # The client did not wait for the end.
        return response
    return response
