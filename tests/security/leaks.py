"""Finding a secret in bytes, in every form it might have slipped out in."""

import base64
import ipaddress
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

_LISTEN = "0A"


def forms(secret: bytes) -> dict[str, bytes]:
    """Name and bytes of each way to write the secret down."""
    number = int.from_bytes(secret)
    plain = {
        "raw bytes": secret,
        "reversed bytes": secret[::-1],
        "hex": secret.hex().encode(),
        "HEX": secret.hex().upper().encode(),
        "hex of reversed bytes": secret[::-1].hex().encode(),
        "decimal": str(number).encode(),
        "list of numbers": ", ".join(map(str, secret)).encode(),
        "list of numbers without blanks": ",".join(map(str, secret)).encode(),
    }
    # The whole key in base64 is one of the three ways its bytes can lie in a longer text.
    return plain | {
        f"base64 of {name}, {kind}, shifted by {shift}": needle
        for name, value in plain.items()
        for shift in range(3)
        for kind, needle in _base64(value, shift).items()
    }


def leaks(secret: bytes, text: bytes) -> list[str]:
    """Names of the forms of the secret that are in the text."""
    return [name for name, needle in forms(secret).items() if needle in text]


def written(folder: Path) -> Iterator[tuple[str, bytes]]:
    """All that a folder holds: the bytes of its files, and the values in its databases, of which long ones lie in
    pieces in the file."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield path.name, path.read_bytes()
        if path.suffix == ".db":
            yield f"values of {path.name}", _values(path)


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def command_line_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def descendants(pid: int) -> list[int]:
    """Of a process, itself included."""
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path(f"/proc/{entry}/stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(entry)] = int(stat.rpartition(")")[2].split()[1])
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def listening(pid: int) -> set[tuple[str, int]]:
    """Addresses and ports at which a process takes TCP connections."""
    sockets = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        try:
            sockets.add(os.readlink(handle))
        except FileNotFoundError:
            continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            local, state, inode = fields[1], fields[3], fields[9]
            if state == _LISTEN and f"socket:[{inode}]" in sockets:
                address, port = local.split(":")
                found.add((_address(address), int(port, 16)))
    return found


def _address(words: str) -> str:
    """From the kernel's form: words of 32 bits, each as this machine's bytes lie."""
    parts = [int(words[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(words), 8)]
    return str(ipaddress.ip_address(b"".join(parts)))


def _base64(value: bytes, shift: int) -> dict[str, bytes]:
    """What is certain of its base64 with `shift` bytes before it: digits that mix with neighbours are left out."""
    digits = base64.b64encode(b"\0" * shift + value)
    certain = digits[(0, 2, 3)[shift] : (shift + len(value)) * 8 // 6]
    return {"standard": certain, "url-safe": certain.translate(bytes.maketrans(b"+/", b"-_"))}


def _values(database: Path) -> bytes:
    """Of a copy: who owns it may have locked it. Its newest pages are in the log beside it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(database, folder))
        log = database.with_name(f"{database.name}-wal")
        if log.exists():
            shutil.copy(log, folder)
        with closing(sqlite3.connect(copy)) as connection:
            tables = [name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")]
            rows = (row for table in tables for row in connection.execute(f'select * from "{table}"'))
            return b"\n".join(
                value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")
                for row in rows
                for value in row
            )
