"""What a person is told reaches the webhook, and the webhook's address reaches nobody else."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from temporalio.api.failure.v1 import Failure
from temporalio.converter import DataConverter
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities import notifying
from activities.messages import Notice
from activities.notifying import NOTIFY_VARIABLE, notify, notify_url
from exchange.network import SetupRefused

TOKEN = "t0k3n-of-the-receiver"
NOTICE = Notice(workflow_id="trade-ETH", coin="ETH", text="the position differs: 1.5 held, 2 expected", at_ms=1_700)


class Receiver:
    """A webhook. `answers` are given in turn, the last one for ever."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.answers: list[int] = [200]

    async def receive(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.Response(status=status, headers={"Location": "/elsewhere"} if 300 <= status < 400 else {})


@pytest.fixture
async def receiver(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Receiver]:
    async def elsewhere(_: web.Request) -> web.Response:
        return web.Response()

    receiver = Receiver()
    app = web.Application()
    app.router.add_post(f"/hooks/{TOKEN}", receiver.receive)
    app.router.add_get("/elsewhere", elsewhere)
    async with TestServer(app) as server:
        monkeypatch.setenv(NOTIFY_VARIABLE, str(server.make_url(f"/hooks/{TOKEN}")))
        yield receiver


async def test_a_notice_arrives_as_one_json_object_and_is_logged(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    await ActivityEnvironment().run(notify, NOTICE)
    assert receiver.bodies == [
        {
            "title": "HyperTrader ETH",
            "text": "ETH: the position differs: 1.5 held, 2 expected",
            "coin": "ETH",
            "workflow_id": "trade-ETH",
            "at_ms": 1700,
        }
    ]
    assert [record.levelno for record in caplog.records if record.name == "hypertrader.notice"] == [logging.ERROR]
    assert "the position differs" in caplog.text


async def test_without_a_webhook_a_notice_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(NOTIFY_VARIABLE, raising=False)
    await ActivityEnvironment().run(notify, NOTICE)
    assert "the position differs" in caplog.text


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_an_answer_that_is_no_success_is_tried_again(receiver: Receiver, status: int) -> None:
    receiver.answers = [status, 204]
    with pytest.raises(ApplicationError) as failed:
        await ActivityEnvironment().run(notify, NOTICE)
    assert str(status) in str(failed.value)
    assert not failed.value.non_retryable
    await ActivityEnvironment().run(notify, NOTICE)
    assert len(receiver.bodies) == 2


async def test_nothing_that_is_kept_of_a_failed_delivery_holds_the_address(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, unused_tcp_port: int
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, "aiohttp.access")  # The receiver's own.
    nobody = f"http://127.0.0.1:{unused_tcp_port}/hooks/{TOKEN}"
    receiver.answers = [500]
    for url in (
        notify_url(),
        nobody,
        f"http://{TOKEN}.invalid/",
        f"http://user:{TOKEN}@[::1]:1/",
        f"http://x{TOKEN}:é@",
    ):
        assert url is not None
        monkeypatch.setenv(NOTIFY_VARIABLE, url)
        try:
            await ActivityEnvironment().run(notify, NOTICE)
        except (ApplicationError, SetupRefused) as failed:
            kept = Failure()
            await DataConverter.default.encode_failure(failed, kept)
            assert TOKEN not in str(kept)
            logging.getLogger("test").exception("as the SDK logs it")
        else:
            pytest.fail(f"{url} took a notice")
    assert TOKEN not in caplog.text


async def test_a_receiver_that_never_answers_is_given_up_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notifying, "TIMEOUT_S", 0.1)
    over = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    monkeypatch.setenv(NOTIFY_VARIABLE, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    with pytest.raises(ApplicationError, match="Timeout") as failed:
        await ActivityEnvironment().run(notify, NOTICE)
    assert not failed.value.non_retryable
    over.set()
    server.close()


@pytest.mark.parametrize("url", [f"ftp://{TOKEN}", TOKEN, "http://", f"http://[{TOKEN}", f"http://{TOKEN}:port/"])
def test_an_address_that_is_none_is_refused_without_repeating_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NOTIFY_VARIABLE, url)
    with pytest.raises(SetupRefused) as refused:
        notify_url()
    assert NOTIFY_VARIABLE in str(refused.value)
    assert TOKEN not in str(refused.value)
