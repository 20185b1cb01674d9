import io
import logging
import re
from collections.abc import Iterator

import pytest

from telemetry import logs

KEY = "0x" + "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
OTHER = "0x" + "ab" * 32


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    root.handlers.clear()
    logs.setup("INFO", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(autouse=True)
def _loaded_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_secrets", set())
    logs.redact(KEY)


def test_a_record_is_one_line_with_its_fields_at_the_end(written: io.StringIO) -> None:
    logging.getLogger("feed.tracker").info(
        "Unit change: %d -> %d", 0, 1, extra={"coin": "ETH", "workflow_id": "trade-ETH", "note": 'a "b"\nc'}
    )
    time, rest = written.getvalue().split(" ", 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
    assert rest == 'INFO feed.tracker Unit change: 0 -> 1 coin=ETH workflow_id=trade-ETH note="a \\"b\\"\\nc"\n'


def test_an_exception_stays_on_its_line(written: io.StringIO) -> None:
    try:
        raise LookupError("nothing\nhere")
    except LookupError:
        logging.getLogger("x").exception("failed")
    (line,) = written.getvalue().splitlines()
    assert " ERROR x failed exception=" in line and "LookupError: nothing\\nhere" in line


def test_what_temporal_adds_is_reduced_to_fields(written: io.StringIO) -> None:
    details = {"workflow_id": "trade-ETH", "attempt": 2, "namespace": "default", "task_queue": "feed"}
    logging.getLogger("temporalio.activity").info(
        f"interrupted ({details})", extra={"temporal_activity": details, "__temporal_error_identifier": "Failure"}
    )
    assert written.getvalue().endswith(" INFO temporalio.activity interrupted workflow_id=trade-ETH attempt=2\n")


@pytest.mark.parametrize("form", [KEY, KEY[2:], KEY.upper().replace("X", "x"), KEY[2:].upper(), f"'{KEY}'"])
def test_a_loaded_key_is_never_written(form: str, written: io.StringIO) -> None:
    log = logging.getLogger("x")
    log.info("key %s", form)
    log.info("key", extra={"key": form})
    try:
        raise ValueError(f"bad key {form}")
    except ValueError:
        log.exception("failed with %r", {"key": form})
    assert KEY[2:12] not in written.getvalue().lower()
    assert written.getvalue().count("[private key]") >= 4


def test_other_hashes_are_written_as_they_are(written: io.StringIO) -> None:
    logging.getLogger("x").info("hash %s", OTHER)
    assert OTHER in written.getvalue()


def test_only_keys_are_taken_for_keys_and_none_is_repeated() -> None:
    with pytest.raises(ValueError) as error:
        logs.redact("my secret")
    assert "secret" not in str(error.value)


def test_a_wrong_level_is_refused() -> None:
    with pytest.raises(ValueError, match="log_level is LOUD: allowed are CRITICAL"):
        logs.setup("LOUD")
