"""Payload encryption: what a process gives to Temporal is sealed with AES-256-GCM, and opened where it arrives.

The keys are in HYPERTRADER_PAYLOAD_KEY or in `payload_key_file`: one or more, the first seals and all of them open.
They are no setting, for the reason the private key is none. Without a key nothing is sealed; mainnet refuses that.

Opening never raises: a payload that no key opens stays as it is, and only who reads it as something definite fails.
So an operator's plain JSON is taken as ever, and a signal sealed with a foreign key is refused by the trade like any
other that can't be read, where an error here would stop the whole workflow for as long as it is in its history.
"""

import base64
import hashlib
import logging
import os
import re
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultFailureConverter,
    DefaultFailureConverterWithEncodedAttributes,
    EncodingPayloadConverter,
    PayloadCodec,
)

from settings import Network, Settings
from telemetry import logs

KEYS_VARIABLE = "HYPERTRADER_PAYLOAD_KEY"
KEY_BYTES = 32
NONCE_BYTES = 12
ENCODING = "binary/encrypted"
KEY_ID = "encryption-key-id"

_HEX = re.compile(r"[0-9a-fA-F]{64}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{43}=?")

log = logging.getLogger("hypertrader.encryption")


class EncryptionError(ValueError):
    """One line; it never holds a key."""


class EncryptionRefused(EncryptionError):
    """The payload keys, or their absence, do not allow a start. One line that says what to change."""


class PayloadUnreadable(EncryptionError):
    """A sealed payload was asked for and no key of this process opens it."""


@dataclass(frozen=True, slots=True)
class PayloadKey:
    """`id` goes with every payload in the clear and says nothing about the key."""

    id: str
    cipher: AESGCM = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "PayloadKey":
        """From 64 hex digits or base64 of 32 bytes. Raises ValueError without the text."""
        if _HEX.fullmatch(text):
            raw = bytes.fromhex(text)
        elif _BASE64.fullmatch(text):
            digits = text.rstrip("=").replace("+", "-").replace("/", "_")
            raw = base64.urlsafe_b64decode(digits + "=")
        else:
            raise ValueError("32 bytes in base64 or hex are a payload key; make one with `hypertrader codec new-key`")
        logs.redact(raw.hex())
        return cls(hashlib.sha256(b"hypertrader payload key" + raw).hexdigest()[:16], AESGCM(raw))


def new_key() -> str:
    """A fresh key in base64."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def load_keys(settings: Settings) -> tuple[PayloadKey, ...]:
    """The keys of this process, the sealing one first; none when payloads stay plain. Raises EncryptionRefused."""
    given, file = os.environ.get(KEYS_VARIABLE), settings.payload_key_file
    if given and file:
        raise EncryptionRefused(f"{KEYS_VARIABLE} and payload_key_file ({file}) are both set: give the keys once")
    if given:
        return _parsed(given, KEYS_VARIABLE)
    if file:
        return _parsed(_read(file), f"payload key file {file}")
    if settings.network is Network.MAINNET and settings.allow_plain_payloads != "yes":
        raise EncryptionRefused(
            f"network is mainnet and there is no payload key: set {KEYS_VARIABLE} or {KEYS_VARIABLE}_FILE to one made "
            "with `hypertrader codec new-key`, or HYPERTRADER_ALLOW_PLAIN_PAYLOADS=yes to let Temporal keep plain text"
        )
    return ()


def data_converter(settings: Settings) -> DataConverter:
    """What every client of Temporal has to use. Raises EncryptionRefused."""
    keys = load_keys(settings)
    return DataConverter(
        payload_converter_class=TellingConverter,
        payload_codec=SealingCodec(keys) if keys else None,
        # A failure's message and stack trace are plain fields unless they are moved into a payload.
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes if keys else DefaultFailureConverter,
    )


class SealingCodec(PayloadCodec):
    """Seals with the first key; opens with whichever a payload names."""

    def __init__(self, keys: Sequence[PayloadKey]) -> None:
        self._first = keys[0]
        self._by_id = {key.id.encode(): key for key in keys}

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._sealed(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Those that are not sealed, and those no key opens, as they are."""
        return [self._opened(payload) if is_sealed(payload) else payload for payload in payloads]

    def _sealed(self, payload: Payload) -> Payload:
        nonce, key_id = os.urandom(NONCE_BYTES), self._first.id.encode()
        sealed = self._first.cipher.encrypt(nonce, payload.SerializeToString(), key_id)
        return Payload(metadata={"encoding": ENCODING.encode(), KEY_ID: key_id}, data=nonce + sealed)

    def _opened(self, payload: Payload) -> Payload:
        key_id = payload.metadata.get(KEY_ID, b"")
        key = self._by_id.get(key_id)
        if key is None:
            log.warning("%s; the keys here are %s", _why(payload), ", ".join(key.id for key in self._by_id.values()))
            return payload
        nonce, sealed = payload.data[:NONCE_BYTES], payload.data[NONCE_BYTES:]
        try:
            return Payload.FromString(key.cipher.decrypt(nonce, sealed, key_id))
        except (InvalidTag, ValueError, DecodeError):
            # Cut short or changed on its way; ValueError is a nonce that is too short.
            log.warning("a payload sealed with payload key %s is damaged", key.id)
            return payload


def is_sealed(payload: Payload) -> bool:
    return payload.metadata.get("encoding") == ENCODING.encode()


class _Sealed(EncodingPayloadConverter):
    """What is read where no key opened it."""

    @property
    def encoding(self) -> str:
        return ENCODING

    def to_payload(self, value: Any) -> Payload | None:
        return None

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        """Where anything is taken, a text that says so: a trade's handlers refuse it and note why. Else raises
        PayloadUnreadable."""
        if type_hint is None or type_hint is Any:
            return f"[{_why(payload)}]"
        raise PayloadUnreadable(f"{_why(payload)}: give it in {KEYS_VARIABLE}")


class TellingConverter(CompositePayloadConverter):
    """Pydantic's, which also tells what is the matter with a payload that can't be read.

    The SDK drops a signal whose payload it can't decode, with a log line that nobody sees who sent it. So where
    anything is taken, as by a trade's handlers, such a payload is read as a text that says so.
    """

    def __init__(self) -> None:
        super().__init__(*PydanticPayloadConverter().converters.values(), _Sealed())

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        hints: Sequence[type | None] = [*(type_hints or []), *[None] * len(payloads)]
        return [self._read(payload, hint) for payload, hint in zip(payloads, hints, strict=False)]

    def _read(self, payload: Payload, hint: type | None) -> Any:
        try:
            return super().from_payloads([payload], [hint] if hint is not None else None)[0]
        except Exception as error:
            # Whatever a payload of anybody's making can raise in a decoder: a wrong encoding, bad JSON, 5,000 digits.
            if hint is None or hint is Any:
                return f"[a payload can't be read: {type(error).__name__}]"
            raise


def _why(payload: Payload) -> str:
    key_id = payload.metadata.get(KEY_ID, b"").decode("ascii", "replace")[:40]
    return f"a payload is sealed with payload key {key_id!r}, which does not open it here"


def _parsed(text: str, where: str) -> tuple[PayloadKey, ...]:
    keys = []
    for number, word in enumerate(text.replace(",", " ").split(), start=1):
        try:
            keys.append(PayloadKey.parse(word))
        except ValueError as error:
            raise EncryptionRefused(f"key {number} of {where}: {error}") from None
    if not keys:
        raise EncryptionRefused(f"{where} holds no key; make one with `hypertrader codec new-key`")
    return tuple(keys)


def _read(path: Path) -> str:
    try:
        # What is no text is no key, and is told as that.
        with path.open(encoding="ascii", errors="replace") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(4096)
    except OSError as error:
        raise EncryptionRefused(f"payload key file {path} can't be read: {error.strerror}") from error
    if mode & 0o077:
        raise EncryptionRefused(f"payload key file {path} has mode {mode:04o}: others may use it; run chmod 600 {path}")
    return text
