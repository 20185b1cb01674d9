"""Faults on request: what goes wrong, for which requests, how often. Armed by tests through the control API.

`drop_reply`: the action is executed and kept, then the connection dies without an answer.
`drop_request`: the connection dies before anything is looked at; nothing happened.
"""

from enum import StrEnum
from itertools import count

from pydantic import BaseModel, ConfigDict, Field


class FaultKind(StrEnum):
    DROP_REPLY = "drop_reply"
    DROP_REQUEST = "drop_request"


class Match(BaseModel):
    """`action` None matches every action type. The fault begins with the `nth` matching request from now on."""

    model_config = ConfigDict(extra="forbid")
    action: str | None = None
    nth: int = Field(default=1, ge=1)
    count: int = Field(default=1, ge=1)


class FaultRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: FaultKind
    match: Match = Match()


class Fault(BaseModel):
    """An armed fault; `hit` counts how often it struck."""

    id: int
    kind: FaultKind
    match: Match
    seen: int = 0
    hit: int = 0

    @property
    def spent(self) -> bool:
        return self.hit >= self.match.count


class Faults:
    def __init__(self) -> None:
        self._ids = count(1)
        self.armed: list[Fault] = []

    def arm(self, request: FaultRequest) -> Fault:
        fault = Fault(id=next(self._ids), kind=request.kind, match=request.match)
        self.armed.append(fault)
        return fault

    def disarm(self) -> int:
        """Forget all; returns how many could still have struck."""
        left = sum(not fault.spent for fault in self.armed)
        self.armed.clear()
        return left

    def strike(self, action_type: str) -> FaultKind | None:
        """The fault that hits this request, if any. Every armed fault counts every request it matches."""
        struck: FaultKind | None = None
        for fault in self.armed:
            if fault.match.action not in (None, action_type):
                continue
            fault.seen += 1
            if struck is None and fault.seen >= fault.match.nth and not fault.spent:
                fault.hit += 1
                struck = fault.kind
        return struck
