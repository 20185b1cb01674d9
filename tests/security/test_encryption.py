"""Payload encryption by itself: who may start, what is sealed, and what is read when no key fits."""

import base64
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import ApplicationError

from encryption import (
    KEY_ID,
    KEYS_VARIABLE,
    EncryptionRefused,
    PayloadKey,
    PayloadUnreadable,
    SealingCodec,
    data_converter,
    is_sealed,
    load_keys,
    new_key,
)
from settings import Network, Settings
from telemetry import logs

RAW = bytes(range(100, 132))
HEX = RAW.hex()
BASE64 = base64.b64encode(RAW).decode()
OTHER = "ab" * 32
SPELLINGS = [HEX, HEX.upper(), BASE64, BASE64.rstrip("="), base64.urlsafe_b64encode(RAW).decode()]


class Asked(BaseModel):
    reason: str


@pytest.fixture(autouse=True)
def _no_key_around(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(KEYS_VARIABLE, raising=False)
    known = set(logs._secrets)
    yield
    logs._secrets.intersection_update(known)


@pytest.fixture
def keyed(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv(KEYS_VARIABLE, HEX)
    return Settings()


def key_file(folder: Path, text: str | bytes, mode: int = 0o600) -> Path:
    path = folder / "payload.key"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


@pytest.mark.parametrize("network", [Network.PAPER, Network.TESTNET])
async def test_without_a_key_payloads_stay_plain(network: Network) -> None:
    [payload] = await data_converter(Settings(network=network)).encode([Asked(reason="news")])
    assert payload.data == b'{"reason":"news"}'


def test_mainnet_without_a_key_is_refused_in_one_line_that_says_what_to_set() -> None:
    with pytest.raises(EncryptionRefused) as refused:
        data_converter(Settings(network=Network.MAINNET))
    assert "hypertrader codec new-key" in str(refused.value)
    assert KEYS_VARIABLE in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("said", ["no", "true", "YES", ""])
def test_plain_payloads_on_mainnet_need_exactly_yes(said: str) -> None:
    assert load_keys(Settings(network=Network.MAINNET, allow_plain_payloads="yes")) == ()
    with pytest.raises(EncryptionRefused):
        load_keys(Settings(network=Network.MAINNET, allow_plain_payloads=said))


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_key_is_the_same_in_every_spelling(spelling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, spelling)
    [sealed] = await SealingCodec([PayloadKey.parse(HEX)]).encode([Payload(data=b"plain")])
    [opened] = await SealingCodec(load_keys(Settings())).decode([sealed])
    assert opened.data == b"plain"


@pytest.mark.parametrize(
    "text", ["", " ", "short", HEX[:-1], HEX + "0", BASE64 + "AAAA", f"{HEX},{HEX[:-2]}", b"\xff" * 32]
)
def test_what_is_no_key_is_refused_without_being_repeated(text: str | bytes, tmp_path: Path) -> None:
    with pytest.raises(EncryptionRefused) as refused:
        load_keys(Settings(payload_key_file=key_file(tmp_path, text)))
    assert HEX[:16] not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o660])
def test_a_key_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path, f"{BASE64}\n", mode)
    with pytest.raises(EncryptionRefused, match=f"chmod 600 {path}"):
        load_keys(Settings(payload_key_file=path))
    path.chmod(0o600)
    assert len(load_keys(Settings(payload_key_file=path))) == 1


def test_a_key_given_twice_or_not_to_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EncryptionRefused, match="can't be read"):
        load_keys(Settings(payload_key_file=tmp_path / "none"))
    monkeypatch.setenv(KEYS_VARIABLE, BASE64)
    with pytest.raises(EncryptionRefused, match="both set"):
        load_keys(Settings(payload_key_file=key_file(tmp_path, BASE64)))


def test_a_new_key_is_a_key_and_another_each_time() -> None:
    assert PayloadKey.parse(new_key()).id != PayloadKey.parse(new_key()).id


def test_a_key_is_in_no_repr_and_in_no_log_line() -> None:
    key = PayloadKey.parse(HEX)
    assert HEX not in repr(key) and BASE64 not in repr(key)
    assert HEX not in logs.redacted(f"found {HEX}")


async def test_what_is_sealed_shows_nothing_and_comes_back(keyed: Settings) -> None:
    converter = data_converter(keyed)
    payloads = await converter.encode([Asked(reason="the secret plan"), None, b"bytes"])
    for payload in payloads:
        assert is_sealed(payload)
        assert b"secret plan" not in payload.SerializeToString()
        assert b"json" not in payload.SerializeToString()
    assert await converter.decode(payloads, [Asked, type(None), bytes]) == [
        Asked(reason="the secret plan"),
        None,
        b"bytes",
    ]


async def test_the_same_payload_is_never_sealed_to_the_same_bytes(keyed: Settings) -> None:
    sealed = await data_converter(keyed).encode([1] * 100)
    assert len({payload.data for payload in sealed}) == 100


async def test_an_operators_plain_json_is_read_as_ever(keyed: Settings) -> None:
    plain = Payload(metadata={"encoding": b"json/plain"}, data=b'{"reason": "news"}')
    assert await data_converter(keyed).decode([plain], [Asked]) == [Asked(reason="news")]


async def test_a_failures_message_and_trace_are_sealed_and_come_back(keyed: Settings) -> None:
    converter, failure = data_converter(keyed), Failure()
    try:
        raise ApplicationError("balance is 123456 USD", type="Refused") from ValueError("the cause's words")
    except ApplicationError as error:
        await converter.encode_failure(error, failure)
    for words in ("123456", "test_encryption.py", "the cause's words"):
        assert words not in str(failure)
    back = await converter.decode_failure(failure)
    assert isinstance(back, ApplicationError) and back.message == "balance is 123456 USD"


async def test_keys_rotate_new_ones_seal_and_old_ones_still_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, HEX)
    before = await data_converter(Settings()).encode(["kept"])
    monkeypatch.setenv(KEYS_VARIABLE, f"{OTHER}\n{HEX}")
    rotated = data_converter(Settings())
    assert await rotated.decode(before, [str]) == ["kept"]
    assert (await rotated.encode(["new"]))[0].metadata[KEY_ID].decode() == PayloadKey.parse(OTHER).id


def cut_short(payload: Payload) -> None:
    payload.data = payload.data[:5]


def one_bit(payload: Payload) -> None:
    payload.data = payload.data[:-1] + bytes([payload.data[-1] ^ 1])


def emptied(payload: Payload) -> None:
    payload.data = b""


def foreign(payload: Payload) -> None:
    payload.metadata[KEY_ID] = PayloadKey.parse(OTHER).id.encode()


def nameless(payload: Payload) -> None:
    del payload.metadata[KEY_ID]


def odd_name(payload: Payload) -> None:
    payload.metadata[KEY_ID] = b"\xff\n" * 100


@pytest.mark.parametrize("harm", [cut_short, one_bit, emptied, foreign, nameless, odd_name])
async def test_what_no_key_opens_stays_sealed_and_tells_who_reads_it(
    keyed: Settings, harm: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    converter = data_converter(keyed)
    [payload] = await converter.encode([Asked(reason="news")])
    harm(payload)
    # Taken as anything, as a trade's signal handlers do, it is a text that says so; as something definite it fails.
    [told] = await converter.decode([payload], [Any])
    assert "sealed with payload key" in told
    with pytest.raises(PayloadUnreadable, match=KEYS_VARIABLE) as unreadable:
        await converter.decode([payload], [Asked])
    for text in (told, str(unreadable.value), caplog.text):
        assert HEX not in text and BASE64 not in text
    assert caplog.records


async def test_a_process_without_keys_says_what_is_missing(keyed: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    payloads = await data_converter(keyed).encode([Asked(reason="news")])
    monkeypatch.delenv(KEYS_VARIABLE)
    with pytest.raises(PayloadUnreadable, match=KEYS_VARIABLE):
        await data_converter(keyed).decode(payloads, [Asked])


@settings(deadline=None)
@given(
    data=st.binary(max_size=200), key_id=st.one_of(st.just(PayloadKey.parse(HEX).id.encode()), st.binary(max_size=20))
)
async def test_opening_never_raises_whatever_was_sent(data: bytes, key_id: bytes) -> None:
    sent = Payload(metadata={"encoding": b"binary/encrypted", KEY_ID: key_id}, data=data)
    assert await SealingCodec([PayloadKey.parse(HEX)]).decode([sent]) == [sent]
