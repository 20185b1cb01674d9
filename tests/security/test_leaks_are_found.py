"""The search for secrets is itself put to the test: whatever form a key leaks in, it is found."""

import json
import secrets
import sqlite3
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.security.leaks import leaks, written

KEY = bytes.fromhex("c0ffee" + secrets.token_hex(29))

LEAKED: dict[str, Callable[[bytes], bytes]] = {
    "hex": lambda key: key.hex().encode(),
    "hex with 0x": lambda key: f"key=0x{key.hex()}!".encode(),
    "upper case hex": lambda key: key.hex().upper().encode(),
    "upper case hex with 0X": lambda key: f"0X{key.hex().upper()}".encode(),
    "base64": b64encode,
    "base64url": urlsafe_b64encode,
    "base64 without padding": lambda key: b64encode(key).rstrip(b"="),
    "raw": lambda key: b"\0\1" + key + b"\2",
    "reversed": lambda key: key[::-1],
    "reversed hex": lambda key: key[::-1].hex().encode(),
    "decimal": lambda key: str(int.from_bytes(key)).encode(),
    "list of numbers": lambda key: json.dumps(list(key)).encode(),
    "hex in a payload of a history": lambda key: json.dumps(
        {"data": b64encode(b'{"k": "' + key.hex().encode() + b'"}').decode()}
    ).encode(),
    "HEX in a payload of a history": lambda key: b64encode(b"xy0x" + key.hex().upper().encode() + b"z"),
    "decimal in a payload of a history": lambda key: b64encode(b"1" * 5 + str(int.from_bytes(key)).encode() + b"z"),
    "raw bytes in a url-safe payload": lambda key: urlsafe_b64encode(b"xy" + key + b"z"),
}


@pytest.mark.parametrize("form", LEAKED)
@pytest.mark.parametrize("before", [0, 1, 2, 3])
def test_a_leak_in_any_form_is_found_in_a_file(form: str, before: int, tmp_path: Path) -> None:
    (tmp_path / "worker.log").write_bytes(b"-" * before + LEAKED[form](KEY) + b" and so on\n")
    assert [name for name, text in written(tmp_path) if leaks(KEY, text)] == ["worker.log"]


def test_a_leak_that_lies_in_pieces_in_a_database_file_is_found_among_its_values(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "journal.db")) as database:
        database.execute("create table entries (body blob)")
        for before in range(3900, 4200, 16):
            database.execute("insert into entries values (?)", (b"-" * before + KEY.hex().encode(),))
        database.commit()
    assert {name for name, text in written(tmp_path) if leaks(KEY, text)} >= {"values of journal.db"}


def test_another_key_is_no_leak(tmp_path: Path) -> None:
    for number, leaked in enumerate(LEAKED.values()):
        (tmp_path / f"{number}.log").write_bytes(leaked(secrets.token_bytes(32)))
    assert not [name for name, text in written(tmp_path) if leaks(KEY, text)]
