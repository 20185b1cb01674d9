"""Notices through Apprise: each channel is told by itself, no oftener than its ration, and is named nowhere."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from temporalio.api.failure.v1 import Failure
from temporalio.converter import DataConverter
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities import notifying
from activities.channels import NOTIFY_VARIABLE
from activities.messages import Notice, NoticeKind
from activities.notifying import Telling, notify_url
from exchange.network import SetupRefused
from settings import Settings

TOKEN = "t0k3n-of-the-receiver"
NOTICE = Notice(workflow_id="trade-ETH", coin="ETH", text="1.5 < 2 held", at_ms=1_700_000_000_000)
HOUR_MS = 3_600_000


class Receivers:
    """Two of Apprise's `json://` and a plain webhook on one server; `answers` is the status each gives."""

    def __init__(self) -> None:
        self.heard: dict[str, list[Any]] = {"a": [], "b": [], "hook": []}
        self.answers = {"a": 200, "b": 200, "hook": 200}
        self.address = ""

    def json(self, *names: str) -> str:
        return "\n".join(f"json://{self.address}/{name}/{TOKEN}" for name in names)

    async def receive(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.heard[name].append(await request.json())
        return web.Response(status=self.answers[name])


@pytest.fixture
async def receivers() -> AsyncIterator[Receivers]:
    found = Receivers()
    app = web.Application()
    app.router.add_post(f"/{{name}}/{TOKEN}", found.receive)
    async with TestServer(app) as server:
        found.address = f"{server.host}:{server.port}"
        yield found


class Hours:
    """The clock of the ration."""

    def __init__(self) -> None:
        self.now_ms = NOTICE.at_ms

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Hours:
    hours = Hours()
    monkeypatch.setattr(notifying, "_now_ms", hours)
    return hours


def telling(state_dir: Path, **settings: Any) -> Telling:
    return Telling(Settings(state_dir=state_dir, **settings))


def numbered(number: int, kind: NoticeKind = NoticeKind.RESET) -> Notice:
    return NOTICE.model_copy(update={"text": f"told {number}", "at_ms": NOTICE.at_ms + number, "kind": kind})


async def test_every_channel_is_told_in_its_own_way(
    receivers: Receivers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NOTIFY_VARIABLE, f"{receivers.json('a')}  http://{receivers.address}/hook/{TOKEN}")
    await ActivityEnvironment().run(telling(tmp_path).notify, NOTICE)
    (by_apprise,), (by_hook,) = receivers.heard["a"], receivers.heard["hook"]
    assert (by_apprise["title"], by_apprise["message"]) == ("HyperTrader ETH", "ETH: 1.5 < 2 held")
    assert by_hook["text"] == "ETH: 1.5 < 2 held"


async def test_the_next_try_is_for_the_channel_alone_that_failed(
    receivers: Receivers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NOTIFY_VARIABLE, receivers.json("a", "b"))
    receivers.answers["a"] = 500
    first, kept = ActivityEnvironment(), []
    first.on_heartbeat = lambda *details: kept.append(details)
    with pytest.raises(ApplicationError, match=r"channel 1 \(json\)") as failed:
        await first.run(telling(tmp_path).notify, NOTICE)
    assert not failed.value.non_retryable

    receivers.answers["a"] = 200
    second = ActivityEnvironment()
    second.info = replace(second.info, heartbeat_details=kept[-1], attempt=2)
    await second.run(telling(tmp_path).notify, NOTICE)
    assert (len(receivers.heard["a"]), len(receivers.heard["b"])) == (2, 1)


async def test_neither_log_nor_failure_holds_an_address(
    receivers: Receivers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
    unused_tcp_port: int,
) -> None:
    caplog.set_level(1)
    caplog.set_level(logging.WARNING, "aiohttp.access")  # The receivers' own.
    receivers.answers["a"] = 500
    nobody = f"json://127.0.0.1:{unused_tcp_port}/{TOKEN} json://{TOKEN}.invalid/"
    monkeypatch.setenv(NOTIFY_VARIABLE, f"{receivers.json('a', 'b')} {nobody}")
    with pytest.raises(ApplicationError) as failed:
        await ActivityEnvironment().run(telling(tmp_path).notify, NOTICE)
    kept = Failure()
    await DataConverter.default.encode_failure(failed.value, kept)
    logging.getLogger("test").error("as the SDK logs it", exc_info=failed.value)
    assert len(receivers.heard["b"]) == 1
    assert TOKEN not in str(kept) + caplog.text + "".join(str(each.message) for each in recwarn)
    assert TOKEN.encode() not in (tmp_path / "notices.db").read_bytes()


async def test_a_receiver_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifying, "TIMEOUT_S", 0.1)
    over = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    monkeypatch.setenv(NOTIFY_VARIABLE, f"json://127.0.0.1:{server.sockets[0].getsockname()[1]}/{TOKEN}")
    async with asyncio.timeout(2):
        with pytest.raises(ApplicationError, match="NotDelivered"):
            await ActivityEnvironment().run(telling(tmp_path).notify, NOTICE)
    over.set()
    server.close()


async def test_what_is_above_the_ration_is_told_together_when_there_is_room_newest_first(
    receivers: Receivers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Hours
) -> None:
    monkeypatch.setenv(NOTIFY_VARIABLE, receivers.json("a"))
    for number in range(1, 6):
        await ActivityEnvironment().run(telling(tmp_path, notify_per_hour=2).notify, numbered(number))
    assert [body["message"] for body in receivers.heard["a"]] == ["ETH: told 1", "ETH: told 2"]

    # Another process, as after a restart: it knows what was sent, and what waits.
    restarted = telling(tmp_path, notify_per_hour=2)
    clock.now_ms += HOUR_MS - 1
    await restarted.tell_what_waits()
    assert len(receivers.heard["a"]) == 2
    clock.now_ms += 1
    await restarted.tell_what_waits()
    await restarted.tell_what_waits()
    together = receivers.heard["a"][2:]
    assert [line.split(": ", 1)[-1] for line in together[0]["message"].splitlines()] == [
        "told 5",
        "and 2 more:",
        "told 4",
        "told 3",
    ]
    assert len(together) == 1


async def test_what_is_urgent_finds_room_that_other_notices_do_not_and_goes_first(
    receivers: Receivers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Hours
) -> None:
    monkeypatch.setenv(NOTIFY_VARIABLE, receivers.json("a"))
    teller = telling(tmp_path, notify_per_hour=5)
    for number in range(1, 6):
        await ActivityEnvironment().run(teller.notify, numbered(number))
    assert len(receivers.heard["a"]) == 4
    await ActivityEnvironment().run(teller.notify, numbered(0, NoticeKind.LIQUIDATION))
    urgent = receivers.heard["a"][4]["message"]
    assert urgent.startswith("ETH: told 0\nand 1 more:\n") and urgent.endswith("told 5")

    await ActivityEnvironment().run(teller.notify, numbered(6, NoticeKind.ATTENTION))
    assert len(receivers.heard["a"]) == 5, "the ration is for what is urgent, too"


async def test_what_waits_and_fails_waits_on_and_takes_nothing_of_the_others_ration(
    receivers: Receivers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Hours
) -> None:
    monkeypatch.setenv(NOTIFY_VARIABLE, receivers.json("a", "b"))
    teller = telling(tmp_path, notify_per_hour=1)
    for number in (1, 2):
        await ActivityEnvironment().run(teller.notify, numbered(number))
    for hour, answer in enumerate((500, 200), 1):
        receivers.answers["a"] = answer
        clock.now_ms = NOTICE.at_ms + hour * HOUR_MS
        await teller.tell_what_waits()
    assert [body["message"] for body in receivers.heard["a"]] == ["ETH: told 1", "ETH: told 2", "ETH: told 2"]
    assert [body["message"] for body in receivers.heard["b"]] == ["ETH: told 1", "ETH: told 2"]


async def test_a_message_of_very_many_stays_one_that_receivers_take_and_counts_them_all(
    receivers: Receivers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Hours
) -> None:
    monkeypatch.setenv(NOTIFY_VARIABLE, f"http://{receivers.address}/hook/{TOKEN}")
    teller = telling(tmp_path, notify_per_hour=1)
    for number in range(1, 102):
        await ActivityEnvironment().run(teller.notify, numbered(number))
    clock.now_ms += HOUR_MS
    await teller.tell_what_waits()
    text = receivers.heard["hook"][1]["text"]
    assert len(text) < 1_700
    shown = text.count(" UTC ETH: told ")
    assert "and 99 more:" in text and f"{99 - shown} of them are in the worker's log only" in text


async def test_a_silent_kind_is_logged_and_sent_to_nobody(
    receivers: Receivers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv(NOTIFY_VARIABLE, receivers.json("a"))
    teller = telling(tmp_path, notify_silent="outage, reset")
    await ActivityEnvironment().run(teller.notify, numbered(1))
    await ActivityEnvironment().run(teller.notify, NOTICE)
    assert [body["message"] for body in receivers.heard["a"]] == ["ETH: 1.5 < 2 held"]
    assert "told 1" in caplog.text


def test_what_a_person_must_hear_cannot_be_silenced() -> None:
    with pytest.raises(ValueError, match="notify_silent is attention: of reset, outage any are allowed"):
        Settings(notify_silent="attention")


@pytest.mark.parametrize("bad", [f"ftp://{TOKEN}", TOKEN, f"tgram://{TOKEN}", f"http://[{TOKEN}", "json://"])
def test_a_bad_address_is_refused_by_its_place_alone(bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NOTIFY_VARIABLE, f"json://localhost/x\n{bad} ntfy://topic")
    with pytest.raises(SetupRefused, match=rf"{NOTIFY_VARIABLE} address 2 of 3 is neither|address 2 of 3 is not") as no:
        notify_url()
    assert TOKEN not in str(no.value)
