"""The control API's faults: of requests, of the WebSocket, and of the exchange as a whole."""

from aiohttp import web
from pydantic import Field

from simulator.control_wire import Strict, answer, read
from simulator.faults import FAULT
from simulator.outage import Mode, Outage
from simulator.stream_faults import STREAM_FAULT, Kick
from simulator.streams import Streams
from simulator.striking import Faults


class Seed(Strict):
    seed: int


class BeginOutage(Strict):
    """`seconds` null: until it is ended."""

    mode: Mode = "refuse"
    seconds: float | None = Field(default=None, gt=0)


class FaultControl:
    def __init__(self, faults: Faults, streams: Streams, outage: Outage) -> None:
        self.faults = faults
        self.streams = streams
        self.outage = outage

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/control/faults", self.arm),
            web.get("/control/faults", self.armed),
            web.delete("/control/faults", self.disarm),
            web.post("/control/seed", self.seed),
            web.post("/control/streams", self.streams_fault),
            web.post("/control/kick", self.kick),
            web.post("/control/outage", self.begin_outage),
            web.get("/control/outage", self.outage_now),
            web.delete("/control/outage", self.end_outage),
        ]

    async def arm(self, request: web.Request) -> web.Response:
        return answer(self.faults.arm(await read(request, FAULT.validate_python)).shown())

    async def armed(self, request: web.Request) -> web.Response:
        return answer([armed.shown() for armed in self.faults.armed])

    async def disarm(self, request: web.Request) -> web.Response:
        return answer({"disarmed": self.faults.disarm()})

    async def seed(self, request: web.Request) -> web.Response:
        body = await read(request, Seed.model_validate)
        self.faults.reseed(body.seed)
        return answer(body.model_dump())

    async def streams_fault(self, request: web.Request) -> web.Response:
        fault = await read(request, STREAM_FAULT.validate_python)
        return answer(fault.model_dump() | {"connections": self.streams.strike(fault)})

    async def kick(self, request: web.Request) -> web.Response:
        return answer({"kicked": self.streams.strike(Kick(fault="kick"))})

    async def begin_outage(self, request: web.Request) -> web.Response:
        body = await read(request, BeginOutage.model_validate)
        self.outage.begin(body.mode, body.seconds)
        return answer(body.model_dump())

    async def outage_now(self, request: web.Request) -> web.Response:
        return answer({"mode": self.outage.mode})

    async def end_outage(self, request: web.Request) -> web.Response:
        return answer({"ended": self.outage.end()})
