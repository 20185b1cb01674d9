"""Logs for people and for `grep`: one line a record, fields as key=value at its end, secrets never.

    2025-08-24T21:45:10.123Z INFO feed.tracker Unit change: 0 -> 1 coin=ETH workflow_id=trade-ETH

Fields are what a call gives as `extra`. Of what Temporal's own loggers add, the workflow's id and the attempt are kept.
"""

import logging
import re
import sys
import time
from collections.abc import Mapping
from typing import TextIO

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_OF_TEMPORAL = ("temporal_activity", "temporal_workflow")
_KEY = re.compile(r"[0-9a-f]{64}")
_PLAIN = re.compile(r"[^\s\"=]+")

_secrets: set[str] = set()


def setup(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send all logs of this process to `stream` (stderr). Raises ValueError if the level is none of logging's."""
    known = logging.getLevelNamesMapping()
    if level.upper() not in known:
        raise ValueError(f"log_level is {level}: allowed are {', '.join(name for name in known if name != 'NOTSET')}")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Its records of DEBUG hold whole frames, and a price is not news.
    logging.getLogger("websockets").setLevel(max(logging.INFO, known[level.upper()]))


def redact(secret: str) -> None:
    """Never write this private key again, with 0x or without, in any case: call it where a key is loaded."""
    digits = secret.strip().lower().removeprefix("0x")
    if not _KEY.fullmatch(digits):
        raise ValueError("a private key has 64 hex digits; what was given has not")
    _secrets.add(digits)


def redacted(text: str) -> str:
    """The text without the keys that were loaded."""
    for secret in _secrets:
        text = re.sub(rf"(0x)?{secret}", "[private key]", text, flags=re.IGNORECASE)
    return text


class LineFormatter(logging.Formatter):
    """Formats a record, its fields and its exception as one line. The last thing done to it is redaction, so that a key
    is taken out wherever in the record it was."""

    def format(self, record: logging.LogRecord) -> str:
        parts = [self._time(record), record.levelname, record.name, self._message(record)]
        parts += [f"{name}={_quoted(value)}" for name, value in _fields(record).items()]
        if record.exc_info:
            parts.append(f"exception={_quoted(self.formatException(record.exc_info))}")
        return redacted(" ".join(parts)).replace("\r", "\\r").replace("\n", "\\n")

    @staticmethod
    def _time(record: logging.LogRecord) -> str:
        return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"

    @staticmethod
    def _message(record: logging.LogRecord) -> str:
        message = record.getMessage()
        for name in _OF_TEMPORAL:
            # Temporal's loggers append all they know to the message; it comes as fields.
            message = message.removesuffix(f" ({record.__dict__.get(name)})")
        return message


def _fields(record: logging.LogRecord) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in record.__dict__.items():
        if name in _OF_TEMPORAL and isinstance(value, Mapping):
            found.update({key: value[key] for key in ("workflow_id", "attempt") if key in value})
        elif name not in _STANDARD and not name.startswith(("temporal_", "_")):
            found[name] = value
    return found


def _quoted(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
