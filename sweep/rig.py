"""The stack under the sweep: real processes on free ports, a conductor that hears of every boundary, and blows."""

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from activities.messages import TRADES_QUEUE
from cli.errors import CommandFailed
from cli.paper import paper_account
from cli.ports import Ports
from cli.processes import Ready
from cli.stack import Stack, hypertrader
from cli.venue import ControlApi
from exchange.gateway import HyperliquidGateway
from exchange.network import load_key
from settings import Settings
from sweep.conductor import ASKER, Blow, Conductor
from sweep.crashing import CONDUCTOR, RENEW_ABOVE
from sweep.processes import Forked, Mortal, Nursery

FUNDED_USD = Decimal(1_000_000)
ACCEPTED_TIMEOUT_S = 5.0
STARTS_MAX = 3
SECOND_WORKER = "worker-2"


class Rig(Stack):
    """`async with`. Prices stand still unless a run moves them."""

    def __init__(self, state_dir: Path, *, renew_above: int | None = None) -> None:
        self._sockets = tempfile.TemporaryDirectory(prefix="sweep-")
        socket = Path(self._sockets.name) / "conductor"
        env = {CONDUCTOR: str(socket)}
        if renew_above is not None:
            env[RENEW_ABOVE] = str(renew_above)
        super().__init__(
            Settings(state_dir=state_dir), Ports.free(), simulator_options=("--still", "--in-memory"), env=env
        )
        self.conductor = Conductor(socket, self._strike)
        self.paused: list[Forked] = []
        self.hand: Callable[[], Awaitable[None]] | None = None
        """What somebody else does when a blow falls that is a hand's."""
        self.price: Callable[[], Awaitable[None]] | None = None
        """How the price moves when a blow falls that is a price's."""
        self._nursery = Nursery(self.logs / "nursery.log")
        self._requests_before: dict[str, int] = {}

    @property
    def exchange(self) -> ControlApi:
        assert self.control is not None
        return self.control

    @property
    def account(self) -> str:
        return paper_account(self.settings)

    @property
    def signer(self) -> str:
        return load_key(self.settings).address

    async def start(self) -> None:
        await self.conductor.__aenter__()
        await self._nursery.start()
        await super().start()
        await self.exchange.fund(self.account, FUNDED_USD)

    async def stop(self) -> None:
        await super().stop()
        await self._nursery.stop()
        await self.conductor.__aexit__()
        self._sockets.cleanup()

    async def arm(self, blows: Sequence[Blow]) -> None:
        """These fall next; none of earlier ones does any more."""
        for blow in blows:
            if blow.waits_for_exchange:
                self._requests_before[blow.boundary] = await self._executed(blow)
        self.conductor.arm(*blows)

    async def ready(self) -> None:
        """All processes run and ask for work."""
        for child in self.children.values():
            await child.wait_ready()

    async def start_second_worker(self) -> Forked:
        second = self._forked(SECOND_WORKER, lambda: self._polls(SECOND_WORKER, TRADES_QUEUE))
        self.children[SECOND_WORKER] = second
        await second.start()
        await second.wait_ready()
        return second

    async def end_second_worker(self) -> None:
        if second := self.children.pop(SECOND_WORKER, None):
            await second.stop(0)

    def wake_paused(self) -> None:
        for child in self.paused:
            child.send(signal.SIGCONT)
        self.paused.clear()

    def named(self, name: str) -> Mortal:
        child = self.children[name]
        assert isinstance(child, Mortal)
        return child

    async def kill(self, *names: str) -> None:
        """Returns when they are dead; they come back by themselves."""
        # Each is waited for from its own death on: one that is back already would be waited for in vain.
        await asyncio.gather(*(self._kill(self.named(name)) for name in names))

    async def _kill(self, child: Mortal) -> None:
        child.kill()
        await child.is_down()

    async def kill_and_hold(self, *names: str) -> None:
        """They stay down until `let_go`."""
        for name in names:
            self.named(name).hold()
        await self.kill(*names)

    def let_go(self) -> None:
        for child in self.children.values():
            if isinstance(child, Mortal):
                child.let_go()

    async def books(self) -> dict[str, Any]:
        """The exchange's own books of the account."""
        return await self.exchange.ledger(self.account)

    async def net_size(self, coin: str) -> Decimal:
        """Signed, by the exchange's own books."""
        return Decimal((await self.books())["positions"].get(coin, "0"))

    async def exchange_ms(self) -> int:
        """The exchange's clock."""
        return int((await self.exchange.state())["clock"]["wallMs"])

    @asynccontextmanager
    async def by_hand(self) -> AsyncIterator[HyperliquidGateway]:
        """The exchange as somebody else with the key has it."""
        gateway = HyperliquidGateway.connect(self.settings, key=load_key(self.settings))
        try:
            yield gateway
        finally:
            await gateway.close()

    async def set_leverage(self, coin: str, leverage: int) -> None:
        """By hand: the next trade has to set its own again."""
        async with self.by_hand() as gateway:
            await gateway.set_leverage(coin, leverage, nonce=gateway.draw_nonce())

    async def close_by_hand(self, coin: str) -> None:
        """What a trade that was released left."""
        if await self.net_size(coin):
            async with self.by_hand() as gateway:
                await gateway.close_position(coin)

    async def command(self, *arguments: str) -> tuple[int, str, str]:
        """One of our own commands as an operator runs it: exit code, stdout, stderr."""
        process = await asyncio.create_subprocess_exec(
            *hypertrader(*arguments),
            env=self._env_of("command"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            raise
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def account_state(self) -> dict[str, Any]:
        """`clearinghouseState`, from the venue itself."""
        question = {"type": "clearinghouseState", "user": self.account}
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{self.settings.exchange_url}/info", json=question) as answer:
                found: dict[str, Any] = await answer.json()
                return found

    async def _strike(self, blow: Blow, asker: str) -> None:
        if blow.waits_for_exchange:
            await self._accepted(blow)
        if blow.how in ("hand", "price"):
            happen = self.hand if blow.how == "hand" else self.price
            assert happen is not None
            await happen()
            return
        names = [asker if victim == ASKER else victim for victim in blow.victims]
        if blow.how == "kill":
            await self.kill(*names)
            return
        for name in names:
            child = self.named(name)
            assert isinstance(child, Forked), "only workers and feeds are paused"
            child.send(signal.SIGSTOP)
            self.paused.append(child)

    async def _accepted(self, blow: Blow) -> None:
        """Until the exchange has executed what is on the wire."""
        async with asyncio.timeout(ACCEPTED_TIMEOUT_S):
            while await self._executed(blow) < self._requests_before[blow.boundary] + blow.nth:  # noqa: ASYNC110  # asked over HTTP
                await asyncio.sleep(0.005)

    async def _executed(self, blow: Blow) -> int:
        return len(await self.exchange.requests(type=blow.boundary.split(".")[1]))

    async def _start_child(self, name: str, argv: list[str], ready: Ready) -> None:
        match name:
            case "worker" | "feed":
                self.children[name] = self._forked(name, ready)
            case "temporal":
                log_file = self.logs / f"{name}.log"
                self.children[name] = Mortal(name, argv, log_file=log_file, env=self._env_of(name), ready=ready)
            case _:
                await super()._start_child(name, argv, ready)
                return
        await self.children[name].start()

    def _forked(self, name: str, ready: Ready) -> Forked:
        kind = "feed" if name == "feed" else "worker"
        return Forked(self._nursery, name, env=self._env_of(kind), log_file=self.logs / f"{name}.log", ready=ready)


async def started_rig(state_dir: Path, *, renew_above: int | None = None) -> Rig:
    """Free ports may be taken by somebody else before they are used: then others are tried."""
    for attempt in range(1, STARTS_MAX):
        rig = Rig(state_dir.with_name(f"{state_dir.name}-{attempt}"), renew_above=renew_above)
        try:
            await rig.start()
        except CommandFailed:
            continue
        return rig
    rig = Rig(state_dir, renew_above=renew_above)
    await rig.start()
    return rig
