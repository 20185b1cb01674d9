"""The embedded server's start line."""

from itertools import pairwise
from pathlib import Path

from temporalio.api.enums.v1 import IndexedValueType

from cli.ports import Ports
from cli.temporal_server import ATTRIBUTES, binary, command
from worker import SEARCH_ATTRIBUTES


def test_the_server_knows_the_attributes_the_worker_registers() -> None:
    kinds = {"INDEXED_VALUE_TYPE_KEYWORD": "Keyword", "INDEXED_VALUE_TYPE_INT": "Int"}
    assert {name: kinds[IndexedValueType.Name(kind)] for name, kind in SEARCH_ATTRIBUTES.items()} == ATTRIBUTES


def test_it_listens_on_this_machine_only_and_keeps_what_it_acknowledges() -> None:
    words = command(Ports(), Path("state/temporal.db"))
    assert words[0] == str(binary())
    options = dict(pairwise(words))
    assert options["--ip"] == "127.0.0.1"
    assert (options["--port"], options["--ui-port"]) == ("7233", "8233")
    assert options["--db-filename"] == "state/temporal.db"
    assert {"journal_mode=wal", "synchronous=full"} <= set(words)
