"""The key of an API wallet is replaced, by processes that are killed: no order is lost or doubled, and what was owed is
bought."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from eth_account import Account
from hyperliquid.exchange import Exchange as SdkExchange

from activities.messages import orders_queue
from cli.former_keys import who_needs_them
from cli.ports import Ports
from cli.stack import Stack, pollers
from connection import connect
from exchange.gateway import HyperliquidGateway
from exchange.network import PAPER_KEY, load_key
from exchange.signing import PrivateKey
from settings import Settings
from tests.feed.harness import until_async
from tests.stack import FUNDED_USD, Floor, TradeUnderTest
from tests.workflows.played import played_portfolio

COIN = "SOL"


@pytest.fixture
async def floor(tmp_path: Path) -> AsyncIterator[Floor]:
    """On the account of the key in the state folder, whoever's key is there later."""
    account = load_key(Settings(state_dir=tmp_path)).address
    stack = Stack(Settings(state_dir=tmp_path, account=account), Ports.free(), simulator_options=("--still",))
    async with stack:
        floor = Floor(stack)
        await floor.control.fund(account, FUNDED_USD)
        yield floor


async def restart(floor: Floor, *keys: str) -> None:
    """The worker is killed, and the next one has these keys."""
    (floor.settings.state_dir / PAPER_KEY).write_text("\n".join(keys))
    floor.stack.children["worker"].kill()
    queue = orders_queue(PrivateKey(keys[0]).address)

    async def polled() -> bool:
        pid = floor.stack.children["worker"].pid
        return any(each.startswith(f"{pid}@") for each in await pollers(floor.client, queue))

    await until_async(polled, timeout_s=30)


async def queue_of(trade: TradeUnderTest) -> str:
    return (await trade.handle.describe()).task_queue


@pytest.mark.timeout(200)
@pytest.mark.drill
async def test_a_key_is_replaced_while_an_order_of_the_former_one_is_on_its_way(floor: Floor) -> None:
    own = (floor.settings.state_dir / PAPER_KEY).read_text().strip()
    master = Account.from_key(own)
    _, wallet = await asyncio.to_thread(lambda: SdkExchange(master, floor.settings.exchange_url).approve_agent())
    own_signer, wallet_signer = (PrivateKey(each).address for each in (own, wallet))
    await restart(floor, wallet)
    trade = await floor.open(COIN, price="150", margin=1000, unit_size="1.5", leverage=5)
    async with played_portfolio(await connect(floor.settings)) as portfolio:
        await portfolio.earn(100)
        await portfolio.until(lambda now: (now.savings_trouble or "").startswith("the key may not move money"))
        lost = await floor.control.arm("drop_reply", {"action": "order"})
        await floor.control.arm("drop_request", {"info": "orderStatus", "count": 1000})
        await floor.control.set_price(COIN, trade.price_of(-1))
        await until_async(lambda: struck(floor, lost), timeout_s=20)

        await restart(floor, own, wallet)
        await floor.control.disarm()
        await trade.rest_at(-1)
        status = await portfolio.until(lambda now: now.saved)
        assert (status.book.owed, [each.usd for each in status.saved[0].of]) == ({}, [20])

        async def moved() -> bool:
            return await queue_of(trade) == orders_queue(own_signer)

        await until_async(moved, timeout_s=20)
        await trade.to(-2)
        assert "nothing has it any more" in await who_needs_them(floor.settings, floor.client)
        await restart(floor, own)
        await trade.to(-1)
    hedged = trade.ledger.net
    assert hedged == await trade.net_on_exchange()
    await trade.close()
    accepted = [each for each in (await floor.books())["acceptedOrders"] if each["coin"] == COIN]
    assert [each["signer"] for each in accepted] == [wallet_signer] * 2 + [own_signer] * 3
    assert len({each["cloid"] for each in accepted}) == 5
    gateway = HyperliquidGateway.connect(floor.settings, key=PrivateKey(own))
    moves = [each.perp_usd for each in await gateway.spot.ledger_updates(since_ms=0)]
    await gateway.close()
    assert moves[1:] == [Decimal(-20)]


async def struck(floor: Floor, fault: int) -> bool:
    return any(each["id"] == fault and each["hit"] for each in await floor.control.faults())
