"""Every request as one JSON line: what arrived, who had signed it, what was answered. Tests assert on it.

Signatures are kept (they are no secrets and prove who signed); keys never reach the simulator.
"""

from collections import deque
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel

from simulator.wire import dumps

KEPT = 100_000


class Entry(BaseModel):
    """`verdict` begins with ok, err (refused as a whole), rejected (HTTP 4xx) or `not executed`.

    Where a fault struck, `fault` names its kind (`partial+drop_reply` when two did) and the verdict goes on with what
    became of the reply: `ok, reply dropped`. `status` is None where nothing was answered.
    """

    received_ms: int
    transport: str
    method: str
    path: str
    type: str | None
    body: Any
    signer: str | None = None
    account: str | None = None
    verdict: str
    status: int | None
    answer: Any = None
    fault: str | None = None


class RequestLog:
    """In memory (the newest 100 000) and, if a file is given, appended there line by line."""

    def __init__(self, file: Path | None = None) -> None:
        self.entries: deque[Entry] = deque(maxlen=KEPT)
        self._file: BinaryIO | None = None
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._file = file.open("ab", buffering=0)

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)
        if self._file is not None:
            self._file.write(dumps(entry.model_dump()) + b"\n")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
