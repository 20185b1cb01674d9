"""Numbers on their way into the page: arrays as the browser reads them, and JSON that can stand inside HTML."""

import base64
import gzip
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = {"f8": "<f8", "f4": "<f4", "i4": "<i4", "u1": "u1"}
"""What the page calls a kind of number, and what NumPy does."""


def packed(values: NDArray[Any], kind: str) -> list[str]:
    """[kind, the values as little-endian numbers of it, gzipped, in base64]; what `unpack` in series.js reads."""
    raw = np.ascontiguousarray(values, dtype=KINDS[kind]).tobytes()
    # No time in the gzip header: the same run gives the same file.
    return [kind, base64.b64encode(gzip.compress(raw, compresslevel=6, mtime=0)).decode()]


def inline_json(data: object) -> str:
    """JSON that can't end the script element it stands in, nor open a comment there."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
