"""The whole stack as real processes, for tests: Temporal, simulator, worker and feed on free ports.

async with running_stack(tmp_path) as floor:
    trade = await floor.open("HYPE", price="40", margin=1000, unit_size="0.1", leverage=10)
    seen = await trade.to(3, 2)          # over every line between, one at a time, each settled before the next
    assert await trade.net_on_exchange() == seen.ledger.net
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHandle

from cli import trades
from cli.demo import price_beyond, settled
from cli.paper import control_of, paper_account, wait_until_followed
from cli.ports import Ports
from cli.stack import Stack
from cli.venue import ControlApi
from journal.entries import Entry
from journal.orders import OrderRow
from journal.store import Journal
from settings import Settings
from simulator.markets import BY_COIN
from workflows.asked import workflow_id
from workflows.status import LedgerView, TradeStatus

FUNDED_USD = Decimal(1_000_000)


@dataclass
class TradeUnderTest:
    """One open trade and the line of its grid that the price has reached."""

    floor: "Floor"
    coin: str
    status: TradeStatus
    line: int = 0

    async def to(self, *turns: int) -> TradeStatus:
        """Move the price over every line up to each turn in order, and come to rest after each."""
        for turn in turns:
            while self.line != turn:
                step = 1 if turn > self.line else -1
                await self.reach(self.line + step)
        return self.status

    async def reach(self, line: int) -> TradeStatus:
        """One price that completes `line`, however many lines lie between."""
        await self.floor.control.set_price(self.coin, self.price_of(line))
        return await self.rest_at(line)

    async def rest_at(self, line: int) -> TradeStatus:
        """Wait until the price that completes `line`, set already, is acted on."""
        price = self.price_of(line)
        self.line = line
        self.status = await settled(self.floor.client, self.status.name, price)
        return self.status

    def price_of(self, line: int) -> Decimal:
        anchor = self.status.anchor_price
        assert anchor is not None
        tick = BY_COIN[self.coin].tick(anchor)
        return price_beyond(anchor, self.status.unit_size, line, 1 if line > self.line else -1, tick)

    @property
    def ledger(self) -> LedgerView:
        assert self.status.ledger is not None
        return self.status.ledger

    @property
    def handle(self) -> WorkflowHandle[Any, Any]:
        return self.floor.client.get_workflow_handle(workflow_id(self.status.name))

    async def net_on_exchange(self) -> Decimal:
        return Decimal((await self.floor.books())["positions"].get(self.coin, "0"))

    async def journal(self) -> list[Entry]:
        """Of this trade, without earlier ones on the coin."""
        async with self.floor.journal() as journal:
            return [line.entry for line in await journal.history(self.status.trade_id or "")]

    async def orders(self) -> list[OrderRow]:
        async with self.floor.journal() as journal:
            return await journal.orders(self.status.trade_id or "")

    async def close(self) -> None:
        from workflows.asked import Close

        await trades.command(self.floor.client, self.status.name, "close", Close(reason="the test is over"))


class Floor:
    """A running stack and what tests do with it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.client = stack.client
        self.settings = stack.settings
        self.control: ControlApi = control_of(stack)
        self.account = paper_account(stack.settings)

    async def open(
        self, coin: str, *, price: Decimal | str, margin: Decimal | int, unit_size: Decimal | str | int, **terms: Any
    ) -> TradeUnderTest:
        """A trade that is open and followed, from this price."""
        await self.control.set_price(coin, Decimal(price))
        status = await trades.start_trade(
            coin, margin, unit_size, yes=True, settings=self.settings, client=self.client, **terms
        )
        await wait_until_followed(self.client, self.control, status.name)
        return TradeUnderTest(self, coin, status)

    async def books(self) -> dict[str, Any]:
        """The exchange's own books of the account."""
        return await self.control.ledger(self.account)

    @asynccontextmanager
    async def journal(self) -> AsyncIterator[Journal]:
        journal = Journal(self.settings.journal)
        await journal.open()
        try:
            yield journal
        finally:
            await journal.close()

    def log_of(self, name: str) -> str:
        return (self.stack.logs / f"{name}.log").read_text("utf-8")

    def environment(self) -> dict[str, str]:
        """For commands run against this stack."""
        return environment(self.settings)


@asynccontextmanager
async def running_stack(
    state_dir: Path, *, simulator_options: tuple[str, ...] = ("--still",), env: Mapping[str, str] | None = None
) -> AsyncIterator[Floor]:
    """Prices stand still unless a test moves them."""
    stack = Stack(Settings(state_dir=state_dir), Ports.free(), simulator_options=simulator_options, env=env)
    async with stack:
        floor = Floor(stack)
        await floor.control.fund(floor.account, FUNDED_USD)
        yield floor


def environment(settings: Settings) -> dict[str, str]:
    """What the command line reads these settings from, and nothing else of the kind."""
    import os

    around = {name: value for name, value in os.environ.items() if not name.startswith("HYPERTRADER_")}
    own = {
        f"HYPERTRADER_{field.upper()}": str(value)
        for field, value in settings.model_dump(mode="json", exclude_none=True).items()
    }
    return around | own
