"""Another key: what the former one began is finished by it, and everything else is signed by the new one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from decimal import Decimal

import pytest
from eth_account import Account
from hyperliquid.exchange import Exchange as SdkExchange
from temporalio.client import Client, WorkflowQueryFailedError

from activities.messages import orders_queue
from activities.recording import RecordingActivities
from cli.doctor import Finding, examine
from cli.venue import ControlApi
from exchange.network import KEY_VARIABLE, PAPER_KEY
from exchange.nonces import wall_ms
from exchange.port import Intent, Side
from exchange.signing import PrivateKey
from tests.feed.harness import until_async
from tests.workflows.conftest import Rig
from tests.workflows.played import played_portfolio
from tests.workflows.test_trade_replay import replayer
from worker import connected_gateways, serve
from workflows import handover
from workflows.contracts import Mode
from workflows.portfolio.record import Purchase


class Keys:
    """The account's own, and one of an API wallet that it has approved: private keys, and their addresses."""

    def __init__(self, rig: Rig, own: str, wallet: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.own, self.wallet = own, wallet
        self.own_signer, self.wallet_signer = (PrivateKey(each).address for each in (own, wallet))
        self.settings = rig.settings.model_copy(update={"account": self.own_signer})
        self._rig = rig
        self._monkeypatch = monkeypatch

    @asynccontextmanager
    async def at_work(self, *keys: str, client: Client | None = None) -> AsyncIterator[None]:
        """A worker with these keys, as its process runs."""
        self.bring(*keys)
        async with AsyncExitStack() as stack:
            gateways = await connected_gateways(self.settings, stack)
            recording = RecordingActivities(self._rig.journal)
            await serve(client or self._rig.client, gateways, recording, self.settings, stack)
            yield

    def bring(self, *keys: str) -> None:
        self._monkeypatch.setenv(KEY_VARIABLE, "\n".join(keys))

    async def doctor(self) -> Finding:
        (found,) = await examine(self.settings, ["former keys"])
        return found

    async def serve_it(self, signer: str) -> bool:
        described = await self._rig.client.get_workflow_handle(self._rig.trade.id).describe()
        return described.task_queue == orders_queue(signer)


@pytest.fixture
async def keys(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Keys:
    await rig.stop_worker()
    own = (rig.settings.state_dir / PAPER_KEY).read_text().strip()
    address = rig.client.service_client.config.target_host
    rig.settings = rig.settings.model_copy(update={"temporal_address": address})
    return Keys(rig, own, await approved(own, rig), monkeypatch)


async def approved(own: str, rig: Rig) -> str:
    """The key of a new API wallet of the account."""
    # It asks for the markets as it is made.
    _, wallet = await asyncio.to_thread(lambda: SdkExchange(Account.from_key(own), rig.simulator.url).approve_agent())
    return str(wallet)


async def test_an_order_on_its_way_is_settled_by_the_former_key_and_then_the_trade_moves(rig: Rig, keys: Keys) -> None:
    control = ControlApi(rig.simulator.control_url)
    # Workers of one queue need a connection each, as two processes have.
    other = await Client.connect(rig.client.service_client.config.target_host, data_converter=rig.client.data_converter)
    async with keys.at_work(keys.wallet):
        anchor = (await rig.open()).anchor_price
        assert anchor is not None
        lost = await control.arm("drop_reply", {"action": "order"})
        await control.arm("drop_request", {"info": "orderStatus", "count": 1000})
        await rig.market(anchor - 2)
        await rig.tell(anchor - 2)
        await until_async(lambda: struck(control, lost))
        async with keys.at_work(keys.own, keys.wallet, client=other):
            await until_async(lambda: told(rig, keys.own_signer))
            assert await keys.serve_it(keys.wallet_signer)
            assert "1 trade still signs by it" in (await keys.doctor()).text
            await control.disarm()
            await rig.until(lambda now: now.unit == -1 and not now.order_in_flight)
            await until_async(lambda: keys.serve_it(keys.own_signer))
            await rig.price_at(anchor - 4, -2)
            found = await keys.doctor()
            assert found.ok and "nothing has it any more" in found.text
            await rig.trade.execute_update("close", {})
            await rig.trade.result()
    await control.close()
    signers = [order["signer"] for order in await rig.orders_accepted()]
    assert signers == [keys.wallet_signer] * 2 + [keys.own_signer] * 2
    assert not await rig.net_position()
    async for run in rig.client.list_workflows(f"WorkflowId = '{rig.trade.id}'"):
        history = await rig.client.get_workflow_handle(run.id, run_id=run.run_id).fetch_history()
        await replayer().replay_workflow(history)


async def struck(control: ControlApi, fault: int) -> bool:
    return any(each["id"] == fault and each["hit"] for each in await control.faults())


async def told(rig: Rig, signer: str) -> bool:
    with contextlib.suppress(WorkflowQueryFailedError):
        return bool((await rig.trade.query("standing"))["record"]["next_signer"] == signer)
    # It is being taken up by a worker.
    return False


async def test_a_key_that_has_ended_is_replaced_without_an_order_that_is_refused(rig: Rig, keys: Keys) -> None:
    async with keys.at_work(keys.wallet):
        anchor = (await rig.open()).anchor_price
        assert anchor is not None
    # Of an account's wallets without a name there is one: the former ends.
    new = await approved(keys.own, rig)
    await rig.market(anchor - 2)
    await rig.tell(anchor - 2)
    async with keys.at_work(new, keys.wallet):
        status = await rig.until(lambda now: now.unit == -1 and not now.order_in_flight)
        assert status.mode is Mode.TRADING and status.attention is None
    signers = [order["signer"] for order in await rig.orders_accepted()]
    assert signers == [keys.wallet_signer, PrivateKey(new).address]
    assert not await rig.read_control("requests?type=noop")


async def test_what_a_purchase_has_begun_is_finished_by_the_key_that_began_it(rig: Rig, keys: Keys) -> None:
    spot = rig.gateway.spot
    await spot.transfer(await spot.prepare_transfer(Decimal(20), to_perp=False))
    order = Intent(
        cloid="0x" + "c1" * 16,
        account=keys.own_signer,
        signer=keys.wallet_signer,
        nonce=wall_ms(),
        coin="@151",
        asset=10_151,
        side=Side.BUY,
        size=Decimal("0.005"),
        limit_price=Decimal(3460),
        reduce_only=False,
        expires_after_ms=wall_ms() + 30_000,
    )
    purchase = Purchase(coin="ETH", usd=Decimal(0), moved=True, order=order)
    async with keys.at_work(keys.own, keys.wallet):
        async with played_portfolio(rig.client, spot_usd={"ETH": Decimal(20)}, purchase=purchase) as portfolio:
            status = await portfolio.until(lambda now: now.saved)
    assert (status.saved[0].coin, status.purchase) == ("ETH", None)
    (sent,) = await rig.read_control("requests?type=order")
    assert sent["signer"] == keys.wallet_signer


async def test_a_trade_moves_only_where_its_key_is_and_one_that_is_stopped_moves_too(
    rig: Rig, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "CONFIRMED_WITHIN", timedelta(seconds=1))
    nobody, account = "0x" + "77" * 20, keys.own_signer
    async with keys.at_work(keys.wallet):
        await rig.open()
        await rig.trade.execute_update("stop", {})
        for word in (
            {"account": account, "signer": "me"},
            {"account": account, "signer": keys.wallet_signer.upper().replace("X", "x")},
            {"account": account, "signer": nobody},
            {"account": nobody, "signer": account},
        ):
            await rig.trade.signal("sign_by", word)
        status = await rig.until(lambda now: len(now.notes) == 2)
        assert status.notes[0].startswith("sign_by refused: signer is 'me'")
        assert status.notes[1].startswith(f"sign_by refused: signer is {nobody}: no worker that holds its key")
        assert status.mode is Mode.STOPPED and await keys.serve_it(keys.wallet_signer)
        assert not await told(rig, account), "the last word was of another account"
    keys.bring(keys.own)
    found = await keys.doctor()
    assert not found.ok and f"{rig.trade.id}: signed by {keys.wallet_signer}, whose key is not here" in found.text
    assert found.cure.startswith("append that key")
    # Also where that key is lost: its address serves its queue.
    async with keys.at_work(keys.own, keys.wallet_signer):
        await until_async(lambda: keys.serve_it(keys.own_signer))
        await rig.trade.signal("release", {})
        await rig.trade.result()
