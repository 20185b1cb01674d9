"""A real browser without a window, driven over its debugging socket."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import websockets

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-port=0")


def installed() -> str | None:
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """One open page."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket, self._ids = socket, count(1)
        self.problems: list[str] = []
        """What the page threw or logged as an error, and every request it made to anything but files."""

    async def call(self, method: str, **params: object) -> dict[str, Any]:
        number = next(self._ids)
        await self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(await self._socket.recv())
            if message.get("id") == number:
                assert "error" not in message, message
                return dict(message["result"])
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        match message["method"]:
            case "Runtime.exceptionThrown":
                self.problems.append(json.dumps(params["exceptionDetails"])[:500])
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.problems.append(params["entry"]["text"])
            case "Network.requestWillBeSent" if not params["request"]["url"].startswith(("file:", "data:")):
                self.problems.append(params["request"]["url"])

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression of the page's script; a promise is awaited."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def wait_for(self, condition: str) -> None:
        """Return when the expression is true."""
        await self.evaluate(
            f"new Promise(done => {{const look = () => ({condition}) ? done(true) : setTimeout(look, 10); look()}})"
        )

    async def open(self, path: Path, ready: str) -> None:
        """Open a file and return when the expression `ready` is true."""
        await self.call("Page.navigate", url=path.as_uri())
        await self.wait_for(ready)


@asynccontextmanager
async def browser(home: Path, *, width: int = 1400, height: int = 1000) -> AsyncIterator[Page]:
    """A page of a fresh browser that keeps its files in `home`."""
    program = installed()
    assert program, "no browser is installed"
    command = [program, *FLAGS, f"--user-data-dir={home}", f"--window-size={width},{height}", "about:blank"]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, limit=2**20
    )
    try:
        url = await _debugger(process)
        async with websockets.connect(url, max_size=None) as socket:
            root = Page(socket)
            targets = (await root.call("Target.getTargets"))["targetInfos"]
            target = next(found["targetId"] for found in targets if found["type"] == "page")
        async with websockets.connect(f"{url.split('/devtools')[0]}/devtools/page/{target}", max_size=None) as socket:
            page = Page(socket)
            for domain in ("Page", "Runtime", "Log", "Network"):
                await page.call(f"{domain}.enable")
            yield page
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 20)


async def _debugger(process: asyncio.subprocess.Process) -> str:
    assert process.stderr
    async for line in process.stderr:
        if line.startswith(b"DevTools listening on "):
            return line.split()[-1].decode()
    raise AssertionError("the browser ended without a word of its debugging socket")
