"""The file that `hypertrader backup` writes: a compressed tar, its manifest first, every file with its hash."""

import hashlib
import os
import secrets
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO

from pydantic import BaseModel, ValidationError

from cli.errors import CommandFailed
from cli.snapshot import DATABASES, Copied, check_database, known

FORMAT = 1
MANIFEST = "manifest.json"
MANIFEST_BYTES_MAX = 10_000_000
CHUNK_BYTES = 1 << 20


class Manifest(BaseModel):
    """`not_in_it` says in sentences what else a restore needs, or what was left out."""

    format: int = FORMAT
    hypertrader: str
    made_at_ms: int
    network: str
    account: str
    signers: list[str]
    """Whose keys open trades need; the keys themselves are never in it."""
    files: list[Copied]
    not_in_it: list[str]


class _Format(BaseModel):
    format: int


def write(archive: Path, folder: Path, manifest: Manifest, *, force: bool) -> None:
    """Pack `folder`, read it back, then give it its name. Raises CommandFailed; what stood there stays until then."""
    draft = archive.with_name(f".{archive.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz") as tar:
                _add_manifest(tar, manifest)
                for each in manifest.files:
                    tar.add(folder / each.name, each.name, recursive=False, filter=_nobodys)
            file.flush()
            os.fsync(file.fileno())
        read(draft, None)
        _name_it(draft, archive, force=force)
    except OSError as error:
        raise CommandFailed(f"{archive} can't be written: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)


def check_free(archive: Path, *, force: bool) -> None:
    """Raises CommandFailed where a backup must not be written."""
    if archive.is_dir() or not archive.parent.is_dir():
        raise CommandFailed(f"{archive} can't be written: a file in a folder that exists is allowed")
    if archive.exists() and not force:
        raise CommandFailed(f"{archive} exists: choose another name, or give --force to replace it")


def read(archive: Path, into: Path | None) -> Manifest:
    """Check everything, unpack it where a folder is given. Raises CommandFailed for what is broken, foreign or sly."""
    with _broken_is_said(archive), tarfile.open(archive, "r:gz") as tar:
        members = iter(tar)
        manifest = _manifest(tar, next(members, None), archive)
        missing = {each.name: each for each in manifest.files}
        for member in members:
            _check_name(member, archive)
            wanted, source = missing.pop(member.name, None), tar.extractfile(member)
            if wanted is None or source is None:
                raise CommandFailed(f"{archive} is broken: {member.name} is not in its manifest; use another backup")
            _take(source, wanted, into, archive)
            if into is not None:
                os.utime(into / member.name, (member.mtime, member.mtime))
    if missing:
        raise CommandFailed(f"{archive} is broken: {', '.join(missing)} missing; use another backup")
    if into is not None:
        for name in {each.name for each in manifest.files} & set(DATABASES):
            check_database(into / name)
    return manifest


def _name_it(draft: Path, archive: Path, *, force: bool) -> None:
    if force:
        draft.replace(archive)
    else:
        # A link never takes the place of another.
        try:
            os.link(draft, archive)
        except FileExistsError:
            check_free(archive, force=False)
    handle = os.open(archive.parent, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def _add_manifest(tar: tarfile.TarFile, manifest: Manifest) -> None:
    text = manifest.model_dump_json(indent=1).encode()
    member = tarfile.TarInfo(MANIFEST)
    member.size, member.mtime, member.mode = len(text), manifest.made_at_ms // 1000, 0o600
    tar.addfile(member, BytesIO(text))


def _nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Names of this machine's users are nobody's business."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o600
    return member


def _manifest(tar: tarfile.TarFile, member: tarfile.TarInfo | None, archive: Path) -> Manifest:
    source = tar.extractfile(member) if member is not None and member.isreg() and member.name == MANIFEST else None
    if source is None:
        raise CommandFailed(f"{archive} has no manifest: a file written by `hypertrader backup` is allowed")
    text = source.read(MANIFEST_BYTES_MAX)
    try:
        made_as = _Format.model_validate_json(text).format
        if made_as != FORMAT:
            raise CommandFailed(f"{archive} has format {made_as}, {FORMAT} is known: use the release that wrote it")
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        raise CommandFailed(f"{archive} is broken: its manifest can't be read ({error.errors()[0]['msg']})") from None


def _check_name(member: tarfile.TarInfo, archive: Path) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or not member.isreg() or not known(member.name):
        raise CommandFailed(
            f"{archive} holds {member.name!r}, which no backup does: take one that `hypertrader backup` made"
        )


def _take(source: IO[bytes], wanted: Copied, into: Path | None, archive: Path) -> None:
    """Never more than its size; its hash is of what was written."""
    digest, left = hashlib.sha256(), wanted.size
    target = Path(os.devnull) if into is None else into / wanted.name
    if into is not None:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        while left > 0 and (chunk := source.read(min(left, CHUNK_BYTES))):
            digest.update(chunk)
            file.write(chunk)
            left -= len(chunk)
        if into is not None:
            file.flush()
            os.fsync(file.fileno())
    if left or source.read(1) or digest.hexdigest() != wanted.sha256:
        raise CommandFailed(f"{archive} is broken: {wanted.name} is not what was backed up; use another backup")


@contextmanager
def _broken_is_said(archive: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise CommandFailed(f"{archive} is broken ({error}): use another backup") from error
    except OSError as error:
        raise CommandFailed(f"{archive} can't be read: {error.strerror or error}") from error
