"""What the simulated exchange is told to do wrong, by the name it has in the grid. See docs/simulator.md."""

from typing import Any

Fault = dict[str, Any]
"""As the simulator's control API takes it."""

DROP_REPLY: Fault = {"kind": "drop_reply", "match": {"action": "order"}}
DROP_REQUEST: Fault = {"kind": "drop_request", "match": {"action": "order"}}

ORDER_FAULTS: dict[str, Fault] = {
    "drop request": {"kind": "drop_request"},
    "drop reply": {"kind": "drop_reply"},
    "delay before": {"kind": "delay", "seconds": 2, "when": "before"},
    "delay after": {"kind": "delay", "seconds": 2, "when": "after"},
    "delay past timeout": {"kind": "delay", "seconds": 6, "when": "after"},
    "delay past expiry": {"kind": "delay", "seconds": 6, "when": "before"},
    "truncate": {"kind": "truncate"},
    "429": {"kind": "status", "status": 429, "when": "before"},
    "500 before": {"kind": "status", "status": 500, "when": "before"},
    "500 after": {"kind": "status", "status": 500, "when": "after"},
    "502 before": {"kind": "status", "status": 502, "when": "before"},
    "502 after": {"kind": "status", "status": 502, "when": "after"},
    "504 after": {"kind": "status", "status": 504, "when": "after"},
    "html before": {"kind": "html", "when": "before"},
    "html after": {"kind": "html", "when": "after"},
    "content type": {"kind": "wrong_content_type"},
    "slow": {"kind": "slow", "seconds": 2},
    "partial": {"kind": "partial", "share": "0.4"},
    "hide": {"kind": "hide", "seconds": 1.5},
    "nonce used": {"kind": "nonce_used"},
}
OVERSIZE_FAULTS: dict[str, Fault] = {
    "shrunk": {"kind": "reduce_only", "oversize": "shrink"},
    "rejected": {"kind": "reduce_only", "oversize": "reject"},
}
"""Of a reduce-only order larger than what is held."""
SETTLING_FAULTS: dict[str, Fault] = {
    "drop request": {"kind": "drop_request"},
    "drop reply": {"kind": "drop_reply"},
    "delay": {"kind": "delay", "seconds": 2, "when": "before"},
    "truncate": {"kind": "truncate"},
    "429": {"kind": "status", "status": 429, "when": "before"},
    "500 after": {"kind": "status", "status": 500, "when": "after"},
    "502 before": {"kind": "status", "status": 502, "when": "before"},
    "html after": {"kind": "html", "when": "after"},
    "nonce used": {"kind": "nonce_used"},
}
STREAM_FAULTS: dict[str, dict[str, Any]] = {
    "kick": {"fault": "kick"},
    "duplicate": {"fault": "duplicate", "count": 5},
    "replay": {"fault": "replay"},
    "garbage": {"fault": "garbage", "count": 1},
    "out of order": {"fault": "out_of_order", "count": 1},
    "silent close": {"fault": "silent_close"},
    "stall": {"fault": "stall", "seconds": 60},
}
