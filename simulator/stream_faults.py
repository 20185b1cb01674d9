"""What can go wrong with the WebSocket, as the control API takes it, and the disorder it brings into trade frames.

`kick`, `stall`, `silent_close`, `garbage` and `replay` are done at once to the connections that are open; who connects
afterwards is served well. `duplicate` and `out_of_order` are for the next frames of trades, whoever reads them.
"""

import asyncio
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

GARBAGE = b"<html><body>502 Bad Gateway</body></html>"
HELD_MAX_S = 1.0
"""A frame that waits to be overtaken is sent after so long, if no other comes."""


class _StreamFault(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Kick(_StreamFault):
    """Every connection is cut without a close frame."""

    fault: Literal["kick"]


class Stall(_StreamFault):
    """No frame for so long on the connections that are open now, pongs included; the frames of that time are lost."""

    fault: Literal["stall"]
    seconds: float = Field(gt=0, le=3600)


class SilentClose(_StreamFault):
    """Sends and reads nothing more, for ever, without closing."""

    fault: Literal["silent_close"]


class Garbage(_StreamFault):
    """Frames that are no JSON."""

    fault: Literal["garbage"]
    count: int = Field(default=1, ge=1)


class Replay(_StreamFault):
    """The last 30 trades of each subscribed coin again."""

    fault: Literal["replay"]


class Duplicate(_StreamFault):
    """The next `count` frames of trades are sent twice."""

    fault: Literal["duplicate"]
    count: int = Field(default=1, ge=1)


class OutOfOrder(_StreamFault):
    """The next `count` frames of trades change places with the one after them."""

    fault: Literal["out_of_order"]
    count: int = Field(default=1, ge=1)


StreamFault = Kick | Stall | SilentClose | Garbage | Replay | Duplicate | OutOfOrder
STREAM_FAULT: TypeAdapter[StreamFault] = TypeAdapter(Annotated[StreamFault, Field(discriminator="fault")])

Send = Callable[[bytes], None]


class Disorder:
    """Frames of trades on their way out."""

    def __init__(self) -> None:
        self.duplicates = 0
        self.swaps = 0
        self._held: dict[str, bytes] = {}

    def pass_on(self, coin: str, frame: bytes, send: Send) -> None:
        """Send a frame: once, twice, or after the next of its coin."""
        held = self._held.pop(coin, None)
        if held is None and self.swaps:
            self.swaps -= 1
            self._held[coin] = frame
            asyncio.get_running_loop().call_later(HELD_MAX_S, self._release, coin, frame, send)
            return
        send(frame)
        if self.duplicates:
            self.duplicates -= 1
            send(frame)
        if held is not None:
            send(held)

    def _release(self, coin: str, frame: bytes, send: Send) -> None:
        if self._held.get(coin) is frame:
            send(self._held.pop(coin))
