"""`POST /exchange` and `POST /info`: the wire rules common to HTTP, around admission and info.

4xx bodies are plain text, never objects: the official SDK takes an object apart.
"""

from typing import Any

import orjson
from aiohttp import web

from simulator.admission import Unprocessable, Verdict, decode, submit
from simulator.faults import FaultKind, Faults
from simulator.info import Info
from simulator.log import Entry, RequestLog
from simulator.query import BadRequest
from simulator.streams import Connection, Dropped
from simulator.venue import Venue
from simulator.wire import dumps

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


class Endpoints:
    """The two HTTP handlers, and `act` for actions posted over the WebSocket. `commit` stores and publishes."""

    def __init__(self, venue: Venue, info: Info, faults: Faults, log: RequestLog, commit: Any) -> None:
        self.venue = venue
        self.info = info
        self.faults = faults
        self.log = log
        self._commit = commit

    async def exchange(self, request: web.Request) -> web.Response:
        received_ms = self.venue.wall_ms()
        body: object = None
        try:
            body = await _json(request)
            answer = self._act(body, "http", received_ms)
        except Rejected as rejected:
            return self._rejected(request.path, body, rejected, received_ms)
        except Dropped:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        return _answer(answer)

    async def info_request(self, request: web.Request) -> web.Response:
        received_ms = self.venue.wall_ms()
        body: object = None
        try:
            body = await _json(request)
            try:
                answer = self.info.answer(body)
            except BadRequest as error:
                raise Rejected(422, NOT_SHAPED, str(error)) from error
        except Rejected as rejected:
            return self._rejected(request.path, body, rejected, received_ms)
        kind = body.get("type") if isinstance(body, dict) else None
        self.log.add(
            Entry(
                received_ms=received_ms,
                transport="http",
                method="POST",
                path=request.path,
                type=kind,
                body=body,
                verdict="ok",
                status=200,
            )
        )
        return _answer(answer)

    async def act(self, payload: object, connection: Connection) -> dict[str, Any]:
        """An action posted over the WebSocket. Raises BadRequest or Dropped."""
        try:
            return self._act(payload, "ws", self.venue.wall_ms())
        except Rejected as rejected:
            raise BadRequest(rejected.text) from rejected

    def _act(self, body: object, transport: str, received_ms: int) -> dict[str, Any]:
        """Admit, execute, keep, publish; no await in between, so requests never interleave."""
        try:
            envelope = decode(body)
        except Unprocessable as error:
            raise Rejected(422, NOT_SHAPED, str(error)) from error
        fault = self.faults.strike(envelope.action.type)
        if fault is FaultKind.DROP_REQUEST:
            unseen = Verdict({}, envelope.action.type, None, None)
            self._log(body, transport, received_ms, unseen, "dropped before it was read")
            raise Dropped
        verdict = submit(self.venue, envelope)
        self._commit()
        self._log(body, transport, received_ms, verdict, "reply dropped" if fault else str(verdict.answer["status"]))
        if fault is FaultKind.DROP_REPLY:
            raise Dropped
        return verdict.answer

    def _log(self, body: object, transport: str, received_ms: int, verdict: Verdict, outcome: str) -> None:
        self.log.add(
            Entry(
                received_ms=received_ms,
                transport=transport,
                method="POST",
                path="/exchange",
                type=verdict.action_type,
                body=body,
                signer=verdict.signer,
                account=verdict.account,
                verdict=outcome,
                status=200,
                answer=verdict.answer,
            )
        )

    def _rejected(self, path: str, body: object, rejected: Rejected, received_ms: int) -> web.Response:
        self.log.add(
            Entry(
                received_ms=received_ms,
                transport="http",
                method="POST",
                path=path,
                type=None,
                body=body,
                verdict="rejected",
                status=rejected.status,
                answer=rejected.reason or rejected.text,
            )
        )
        return web.Response(status=rejected.status, text=rejected.text)


async def _json(request: web.Request) -> object:
    if request.content_type != "application/json":
        raise Rejected(415, WRONG_TYPE)
    try:
        return orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise Rejected(400, NOT_JSON, str(error)) from error


def _answer(value: object) -> web.Response:
    return web.Response(body=dumps(value), content_type="application/json")
