"""The live screen on a real terminal: what is logged meanwhile stands above the picture and leaves it whole."""

import os
import pty
import re
import subprocess
import sys

from tests.cli.test_cli_screen import STATUS

SCRIPT = """
import logging, sys
from cli.watch import _view
from telemetry import logs
from workflows.status import TradeStatus

logs.setup("INFO")
status = TradeStatus.model_validate_json(sys.argv[1])
with _view(None) as view:
    for n in range(3):
        view.show(status, None, None)
        logging.getLogger("hypertrader.stack").warning("the worker was killed, time %d", n)
        view.say("waiting: nobody answers")
        view.say("waiting: nobody answers")
    view.show(status, None, "the last one")
logging.getLogger("hypertrader.stack").warning("after the screen")
"""


def shown(output: str) -> list[str]:
    """The rows of a terminal that got this: newline, return, cursor up and erase line are all that is used."""
    rows, row = [""], 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", output):
        if part == "\n":
            row += 1
            rows += [""] * (row == len(rows))
        elif up := re.fullmatch(r"\x1b\[(\d+)A", part):
            row -= int(up[1])
        elif part == "\x1b[2K":
            rows[row] = ""
        elif part[0] not in "\r\x1b":
            rows[row] += part
    return [text for text in rows if text]


def test_logs_stand_above_the_picture() -> None:
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "50"}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, STATUS.model_dump_json()], stdin=theirs, stdout=theirs, stderr=theirs, env=env
    )
    os.close(theirs)
    rows = shown(read_all(ours))
    assert process.wait() == 0, rows
    said = [index for index, row in enumerate(rows) if "the worker was killed" in row]
    waited = [index for index, row in enumerate(rows) if row == "waiting: nobody answers"]
    headers = [index for index, row in enumerate(rows) if row.startswith("╭")]
    assert (len(said), len(waited)) == (3, 3)
    assert len(headers) == 1, "\n".join(rows)
    assert max(said + waited) < headers[0]
    assert "the last one" in "".join(rows[headers[0] :])
    assert "after the screen" in rows[-1]


def read_all(terminal: int) -> str:
    found = b""
    while True:
        try:
            found += os.read(terminal, 65536)
        except OSError:
            # Linux's way to say that the other side is closed.
            return found.decode()
