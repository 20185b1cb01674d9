"""`hypertrader backup` and `restore`: Temporal's database, the journal and the rest of the state, while they run."""

import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel
from rich.table import Table

from cli import archive
from cli.archive import Manifest
from cli.common import AsJson, console, echo_json, settings
from cli.errors import CommandFailed
from cli.history import utc
from cli.restoring import restore as put_in_place
from cli.snapshot import JOURNAL, SIMULATOR, TEMPORAL, Copied, copy_state, databases, unknown_files
from exchange.network import PAPER_KEY, SetupRefused, load_key
from journal.engine import parse_url
from settings import Network, Settings

CLOCKS_DIFFER_MS = 60_000
KEYS = "private keys and payload keys are never in a backup: keep copies of them elsewhere"

File = Annotated[Path, typer.Argument(help="One compressed file with everything; mode 0600.", metavar="FILE")]
Force = typer.Option("--force", help="Replace what is there; a state folder is moved aside, never deleted.")


class BackupReport(BaseModel):
    """`size` is the archive's, in bytes."""

    file: Path
    size: int
    took_s: float
    made_at_ms: int
    network: str
    account: str
    files: list[Copied]
    not_in_it: list[str]


class RestoreReport(BaseModel):
    """`moved_aside` is where the former state is now; `needed` is what to do before the first start."""

    state_dir: Path
    took_s: float
    made_at_ms: int
    network: str
    account: str
    files: list[Copied]
    moved_aside: Path | None
    needed: list[str]


def register(app: typer.Typer) -> None:
    app.command("backup")(backup)
    app.command("restore")(restore)


def backup(
    file: File, force: Annotated[bool, typer.Option("--force", help="Replace FILE.")] = False, as_json: AsJson = False
) -> None:
    """Save all that is kept to FILE, while everything runs. Keys are never in it."""
    chosen, started_s, made_at_ms = settings(), time.monotonic(), time.time_ns() // 1_000_000
    archive.check_free(file, force=force)
    account = _account(chosen)
    if not databases(chosen):
        raise CommandFailed(f"there is nothing to back up in {chosen.state_dir}: name the folder with --state-dir")
    # Beside the archive: there is room for it, and what is copied never lies anywhere else.
    try:
        with tempfile.TemporaryDirectory(prefix=f".{file.name}.", dir=file.parent) as draft:
            files = copy_state(chosen, Path(draft))
            manifest = Manifest(
                hypertrader=version("hypertrader"),
                made_at_ms=made_at_ms,
                network=chosen.network,
                account=account,
                signers=sorted({each.name.split("/")[1] for each in files if each.name.startswith("nonces/")}),
                files=files,
                not_in_it=_not_in_it(chosen, files),
            )
            archive.write(file, Path(draft), manifest, force=force)
    except OSError as error:
        raise CommandFailed(f"{file} can't be written: {error}") from error
    shown = manifest.model_dump(include={"made_at_ms", "network", "account", "files", "not_in_it"})
    _show_backup(BackupReport(file=file, size=file.stat().st_size, took_s=_since(started_s), **shown), as_json)


def restore(
    file: File,
    force: Annotated[bool, Force] = False,
    keep_simulator: Annotated[
        bool, typer.Option("--keep-simulator", help="Paper: the exchange's books stay as they are in the folder now.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the place of the state folder, while nothing runs on it.

    On paper the simulated exchange goes back to the moment of the backup with all the rest: it is one world. A real
    exchange does not, and --keep-simulator plays that: what happened since is found by each trade at its first look.
    """
    chosen, started_s = settings(), time.monotonic()
    folder = chosen.state_dir.resolve()
    manifest = archive.read(file, None)
    _check_ours(manifest, chosen, file)
    aside = put_in_place(file, folder, manifest, force=force, keep_simulator=keep_simulator)
    needed = _needed(manifest, chosen, folder)
    shown = manifest.model_dump(include={"made_at_ms", "network", "account"})
    shown["files"] = [each for each in manifest.files if not (keep_simulator and each.name == SIMULATOR)]
    _show_restore(
        RestoreReport(state_dir=folder, took_s=_since(started_s), moved_aside=aside, needed=needed, **shown), as_json
    )


def _account(chosen: Settings) -> str:
    """Whose positions these are. Raises CommandFailed where nobody says so."""
    if chosen.account:
        return chosen.account
    try:
        return load_key(chosen, make=False).address
    except SetupRefused as error:
        raise CommandFailed(f"whose state this is is not known: {error}; or set HYPERTRADER_ACCOUNT") from None


def _check_ours(manifest: Manifest, chosen: Settings, file: Path) -> None:
    """Raises CommandFailed for another network or account, and for a clock by which it was not made yet."""
    if manifest.network != chosen.network:
        raise CommandFailed(
            f"{file} is of network {manifest.network}, the settings say {chosen.network}: give --network "
            f"{manifest.network}, or another backup"
        )
    try:
        account = _account(chosen)
    except CommandFailed:
        key = f"put its key to {chosen.state_dir / PAPER_KEY}" if chosen.network is Network.PAPER else "bring its key"
        raise CommandFailed(
            f"{file} is of account {manifest.account}, and here is no key: {key}, or set HYPERTRADER_ACCOUNT"
        ) from None
    if manifest.account != account:
        raise CommandFailed(
            f"{file} is of account {manifest.account}, the settings say {account}: set HYPERTRADER_ACCOUNT or the key, "
            f"or give another backup"
        )
    now_ms = time.time_ns() // 1_000_000
    if manifest.made_at_ms > now_ms + CLOCKS_DIFFER_MS:
        # Nonces are wall time: by this clock, some that were used since would be drawn again.
        raise CommandFailed(
            f"{file} was made at {utc(manifest.made_at_ms)}, and this machine's clock says {utc(now_ms)}: set the clock"
        )


def _not_in_it(chosen: Settings, files: list[Copied]) -> list[str]:
    names = {each.name for each in files}
    found = [KEYS]
    if TEMPORAL not in names:
        found.append(
            f"Temporal at {chosen.temporal_address} keeps its own database: back that up first (docker-compose: "
            "pg_dump of the databases temporal and temporal_visibility)"
        )
    if JOURNAL not in names:
        url = parse_url(chosen.journal)
        if url.drivername.startswith("postgresql"):
            found.append(
                f"the journal is in PostgreSQL: back it up after Temporal, pg_dump -h {url.host} -d {url.database}"
            )
        else:
            found.append(f"the journal {url.database} does not exist")
    if unknown := unknown_files(chosen.state_dir):
        found.append(f"files nobody knows: {', '.join(unknown)}")
    return found


def _needed(manifest: Manifest, chosen: Settings, folder: Path) -> list[str]:
    names, needed = {each.name for each in manifest.files}, []
    if manifest.network != Network.PAPER or not (folder / PAPER_KEY).is_file():
        signers = ", ".join(manifest.signers) or f"account {manifest.account}"
        needed.append(f"bring the private key of {signers}: it is in no backup")
    needed.append("bring the payload keys, if Temporal's payloads were sealed: they are in no backup")
    needed += [each for each in manifest.not_in_it if each != KEYS]
    if JOURNAL in names and chosen.journal_url:
        needed.append(f"the journal is {folder / JOURNAL}; HYPERTRADER_JOURNAL_URL names another place: move it there")
    if SIMULATOR not in names and manifest.network == Network.PAPER:
        needed.append("the simulator's books are not in it: the exchange begins anew and holds nothing")
    since = utc(manifest.made_at_ms)
    needed.append(f"what happened after {since} is not known here: each trade looks at the exchange when it starts")
    return needed


def _show_backup(report: BackupReport, as_json: bool) -> None:
    if as_json:
        echo_json(report)
        return
    console.print(_table(report.files))
    console.print(f"\n{report.file}: {_amount(report.size)}, {report.took_s:.1f} s, account {report.account}")
    for line in report.not_in_it:
        console.print(f"not in it: {line}")


def _show_restore(report: RestoreReport, as_json: bool) -> None:
    if as_json:
        echo_json(report)
        return
    console.print(_table(report.files, took=False))
    console.print(f"\n{report.state_dir}: as of {utc(report.made_at_ms)}, restored in {report.took_s:.1f} s")
    if report.moved_aside is not None:
        console.print(f"the former state is kept: {report.moved_aside}")
    for line in report.needed:
        console.print(f"now: {line}")


def _table(files: list[Copied], *, took: bool = True) -> Table:
    table = Table("what", box=None, header_style="dim")
    for name in ("size", "took") if took else ("size",):
        table.add_column(name, justify="right")
    for each in files:
        table.add_row(each.name, _amount(each.size), *([f"{each.took_s:.2f} s"] if took else []))
    return table


def _amount(size: int) -> str:
    """Bytes for people."""
    if size < 1_000:
        return f"{size} B"
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def _since(started_s: float) -> float:
    return round(time.monotonic() - started_s, 3)
