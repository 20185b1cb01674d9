"""Which exchange this installation talks to, and with which keys. Both refuse rather than guess."""

import os
import re
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from exchange.signing import LostKey, PrivateKey
from settings import Network, Settings
from telemetry import logs

__all__ = ["Endpoint", "PrivateKey", "SetupRefused", "endpoint", "load_key", "load_keys"]

KEY_VARIABLE = "HYPERTRADER_PRIVATE_KEY"
PAPER_KEY = "paper.key"
"""In the state folder."""
KEY_FILE_BYTES_MAX = 4_096
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_URLS = {Network.MAINNET: "https://api.hyperliquid.xyz", Network.TESTNET: "https://api.hyperliquid-testnet.xyz"}


class SetupRefused(ValueError):
    """The settings do not allow trading as asked. One line that says what to change; it never holds a key."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go and what their signatures are for."""

    network: Network
    url: str
    paper_limits: bool = False
    """Whether the simulator refuses what the venue would."""

    @property
    def mainnet(self) -> bool:
        """Whether signatures carry source "a"; the simulator takes testnet's "b"."""
        return self.network is Network.MAINNET

    @property
    def budgeted(self) -> bool:
        """Whether requests are limited per address of the network: the simulator does it only if it is told to."""
        return self.network is not Network.PAPER or self.paper_limits


def endpoint(settings: Settings) -> Endpoint:
    """Raises SetupRefused for mainnet without its second yes, and for a paper network that is not paper."""
    network = settings.network
    if network is Network.PAPER:
        return Endpoint(network, _paper_url(settings.exchange_url), settings.paper_limits)
    if network is Network.MAINNET and settings.allow_mainnet != "yes":
        raise SetupRefused(
            f"network is mainnet and HYPERTRADER_ALLOW_MAINNET is {settings.allow_mainnet!r}: it must be exactly yes,"
            " because orders there move real money"
        )
    return Endpoint(network, _URLS[network])


def load_key(settings: Settings, *, make: bool = True) -> PrivateKey:
    """The key that signs what begins now. Raises SetupRefused."""
    return load_keys(settings, make=make)[0]


def load_keys(settings: Settings, *, make: bool = True) -> tuple[PrivateKey, ...]:
    """The signing keys, from HYPERTRADER_PRIVATE_KEY or from `private_key_file`, one a line: the first signs from now
    on, the others are former ones, by which is finished what began with them. A former one that is lost is given by its
    address.

    For the paper network, one of its own is made once in the state folder when neither is given and `make` allows it.
    Raises SetupRefused.
    """
    given = os.environ.get(KEY_VARIABLE)
    if given and settings.private_key_file:
        raise SetupRefused(
            f"{KEY_VARIABLE} and private_key_file ({settings.private_key_file}) are both set: give the keys once"
        )
    if given:
        return _parsed(given, KEY_VARIABLE)
    if settings.private_key_file:
        return _read(settings.private_key_file)
    if settings.network is not Network.PAPER:
        raise SetupRefused(f"network is {settings.network} and there is no key: set {KEY_VARIABLE} or private_key_file")
    path = settings.state_dir / PAPER_KEY
    if not make and not path.exists():
        raise SetupRefused(f"there is no key in {settings.state_dir}: name the folder with --state-dir")
    return _paper_key(path)


def _paper_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SetupRefused(f"exchange_url is {url!r}: an http:// or https:// address of a simulator is allowed")
    if parts.hostname.endswith(("hyperliquid.xyz", "hyperliquid-testnet.xyz")):
        raise SetupRefused(f"exchange_url is {url!r}, the real exchange, and network is paper: set network instead")
    return url.rstrip("/")


def _read(path: Path) -> tuple[PrivateKey, ...]:
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(KEY_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise SetupRefused(f"private key file {path} can't be read: {error.strerror}") from error
    if mode & 0o077:
        raise SetupRefused(f"private key file {path} has mode {mode:04o}: others may use it; run chmod 600 {path}")
    if len(text) > KEY_FILE_BYTES_MAX:
        # Cut off, its last key would be another one, or none.
        raise SetupRefused(
            f"private key file {path} is larger than {KEY_FILE_BYTES_MAX} bytes: one key a line is allowed"
        )
    return _parsed(text, f"private key file {path}")


def _parsed(text: str, where: str) -> tuple[PrivateKey, ...]:
    words = text.replace(",", " ").split() or [""]
    keys: list[PrivateKey] = []
    for number, word in enumerate(words, start=1):
        which = f"key {number} of {where}" if len(words) > 1 else where
        try:
            key = _key(word, is_former=number > 1)
        except ValueError as error:
            raise SetupRefused(f"{which}: {error}") from None
        if key.address in {each.address for each in keys}:
            raise SetupRefused(f"{which} is there twice ({key.address}): give each key once")
        keys.append(key)
    return tuple(keys)


def _key(word: str, *, is_former: bool) -> PrivateKey:
    """Raises ValueError without the word."""
    if is_former and _ADDRESS.fullmatch(word):
        return LostKey(word)
    key = PrivateKey(word)
    logs.redact(word)
    return key


def _paper_key(path: Path) -> tuple[PrivateKey, ...]:
    if path.exists():
        return _read(path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(f"0x{secrets.token_hex(32)}\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link appears whole or not at all; where another process was first, its key is the one.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return _read(path)
