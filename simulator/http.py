"""`POST /exchange` and `POST /info`: the wire rules common to HTTP, around admission and info, with faults in between.

4xx bodies are plain text, never objects: the official SDK takes an object apart.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from simulator.admission import Unprocessable, Verdict, decode, submit
from simulator.connection import Connection
from simulator.faults import Asked, Place
from simulator.funding import pay_due
from simulator.info import Info
from simulator.limits import Limits, action_weight, info_weight
from simulator.log import Entry, RequestLog
from simulator.query import BadRequest
from simulator.replies import Reply, refusal, send, spoil
from simulator.streams import Dropped
from simulator.striking import Faults, Struck, asked_of
from simulator.venue import Venue

NOT_JSON = "Failed to parse the request body as JSON"
NOT_SHAPED = "Failed to deserialize the JSON body into the target type"
WRONG_TYPE = "Expected request with `Content-Type: application/json`"


class Rejected(Exception):
    """Answered with a 4xx and plain text; `reason` is for the log."""

    def __init__(self, status: int, text: str, reason: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.reason = reason


@dataclass(slots=True)
class Received:
    """One request as it arrived; `body` once it was read."""

    path: str
    transport: str
    received_ms: int
    address: str = ""
    """Of the network: where it came from."""
    body: object = None


class Endpoints:
    """The two HTTP handlers, and `act` for actions posted over the WebSocket. `commit` stores and publishes."""

    def __init__(
        self,
        venue: Venue,
        info: Info,
        faults: Faults,
        log: RequestLog,
        commit: Callable[[], None],
        limits: Limits,
    ) -> None:
        self.venue = venue
        self.info = info
        self.faults = faults
        self.log = log
        self._commit = commit
        self._limits = limits

    async def exchange(self, request: web.Request) -> web.StreamResponse:
        received = Received("/exchange", "http", self.venue.wall_ms(), request.remote or "")
        try:
            received.body = await _json(request)
            reply = await self._act(received)
        except Rejected as rejected:
            return self._rejected(received, rejected)
        return await send(request, reply)

    async def info_request(self, request: web.Request) -> web.StreamResponse:
        received = Received("/info", "http", self.venue.wall_ms(), request.remote or "")
        try:
            received.body = await _json(request)
            reply = await self._ask(received)
        except Rejected as rejected:
            return self._rejected(received, rejected)
        return await send(request, reply)

    async def act(self, payload: object, connection: Connection) -> dict[str, Any]:
        """An action posted over the WebSocket. Raises BadRequest, or Dropped for any reply that a fault spoilt."""
        try:
            reply = await self._act(Received("/exchange", "ws", self.venue.wall_ms(), body=payload))
        except Rejected as rejected:
            raise BadRequest(rejected.text) from rejected
        if not reply.is_whole:
            raise Dropped
        answer: dict[str, Any] = orjson.loads(reply.body)
        return answer

    async def _act(self, received: Received) -> Reply:
        """Admit, execute, keep, publish: no await between these, so requests never interleave half-way.

        A fault may hold the request before them or after.
        """
        try:
            envelope = decode(received.body)
        except Unprocessable as error:
            raise Rejected(422, NOT_SHAPED, str(error)) from error
        self._let_in(received, action_weight(envelope))
        struck = self.faults.strike(asked_of(envelope))
        await _hold(struck, Place.HELD_BEFORE)
        if struck.refusal is not None:
            reply = refusal(struck.refusal, envelope.nonce)
            unseen = Verdict({}, envelope.action.type, None, None)
            self._log(received, unseen, f"not executed, {reply.spoilt}", struck, reply)
            return reply
        pay_due(self.venue)
        verdict = submit(self.venue, envelope, struck.twist)
        self._commit()
        reply = spoil(verdict.answer, struck.reply)
        self._log(received, verdict, _with(str(verdict.answer["status"]), reply), struck, reply)
        await _hold(struck, Place.HELD_AFTER)
        return reply

    async def _ask(self, received: Received) -> Reply:
        kind = received.body.get("type") if isinstance(received.body, dict) else None
        self._let_in(received, info_weight(str(kind)))
        struck = self.faults.strike(Asked(info=kind)) if isinstance(kind, str) else Struck()
        await _hold(struck, Place.HELD_BEFORE)
        unsigned = Verdict({}, str(kind), None, None)
        if struck.refusal is not None:
            reply = refusal(struck.refusal, nonce=0)
            self._log(received, unsigned, f"not executed, {reply.spoilt}", struck, reply)
            return reply
        try:
            answer = self.info.answer(received.body)
        except BadRequest as error:
            raise Rejected(422, NOT_SHAPED, str(error)) from error
        self._limits.answered(received.address, str(kind), answer)
        reply = spoil(answer, struck.reply)
        self._log(received, unsigned, _with("ok", reply), struck, reply)
        await _hold(struck, Place.HELD_AFTER)
        return reply

    def _let_in(self, received: Received, weight: int) -> None:
        if not self._limits.let_in(received.address, weight):
            raise Rejected(429, "null", f"weight {weight} is over the limit of {received.address}")

    def _log(self, received: Received, verdict: Verdict, outcome: str, struck: Struck, reply: Reply) -> None:
        self.log.add(
            Entry(
                received_ms=received.received_ms,
                transport=received.transport,
                method="POST",
                path=received.path,
                type=verdict.action_type,
                body=received.body,
                signer=verdict.signer,
                account=verdict.account,
                verdict=outcome,
                status=None if reply.cut == "all" else reply.status,
                # Answers to questions are not kept: they are long, and the same question can be asked again.
                answer=verdict.answer if received.path == "/exchange" else None,
                fault=struck.name,
            )
        )

    def _rejected(self, received: Received, rejected: Rejected) -> web.Response:
        self.log.add(
            Entry(
                received_ms=received.received_ms,
                transport=received.transport,
                method="POST",
                path=received.path,
                type=None,
                body=received.body,
                verdict="rejected",
                status=rejected.status,
                answer=rejected.reason or rejected.text,
            )
        )
        return web.Response(status=rejected.status, text=rejected.text)


async def _hold(struck: Struck, place: Place) -> None:
    """The handler goes on also if the client does not wait: what has arrived is executed."""
    held_s = struck.held_s(place)
    if held_s:
        await asyncio.sleep(held_s)


def _with(outcome: str, reply: Reply) -> str:
    return f"{outcome}, {reply.spoilt}" if reply.spoilt else outcome


async def _json(request: web.Request) -> object:
    if request.content_type != "application/json":
        raise Rejected(415, WRONG_TYPE)
    try:
        return orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise Rejected(400, NOT_JSON, str(error)) from error
