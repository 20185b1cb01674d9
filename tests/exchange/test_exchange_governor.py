"""The governor before an exchange that refuses: nothing is answered 429, orders don't wait for reads, and what did not
leave is known not to have left."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from exchange.budget import BACK_OFF_S, Budget
from exchange.errors import NotSent, Unknown
from exchange.gateway import HyperliquidGateway
from exchange.governor import READ_WITHIN_S, Governor
from exchange.network import Endpoint
from exchange.port import AddressBudget, OutcomeStatus, Side
from exchange.signing import PrivateKey
from exchange.transport import URGENT_WITHIN_S
from exchange.weights import Weight, of_info
from settings import Network, Settings
from simulator.limits import Limits
from tests.exchange.conftest import TEST_KEY, Stage, StartStage
from tests.exchange.hand_timer import HandTimer, told
from tests.exchange.spoiling import SPOILT

SHARE, RESERVED = 300, 75
FEES = {"type": "userFees", "user": PrivateKey(TEST_KEY).address}
FEES_WEIGHT = 20
FIT = (SHARE - RESERVED) // FEES_WEIGHT


@pytest.fixture
def timer() -> HandTimer:
    return HandTimer()


@pytest.fixture
def governor(timer: HandTimer) -> Governor:
    return Governor(Budget(SHARE, RESERVED), timer)


Governed = Callable[..., HyperliquidGateway]


@pytest.fixture
async def governed() -> AsyncIterator[Governed]:
    """`governed(stage, governor)`: a gateway like the stage's own, behind the governor. With `direct` not by the proxy,
    which makes every answer a 200."""
    made: list[HyperliquidGateway] = []

    def make(stage: Stage, governor: Governor, *, direct: bool = False) -> HyperliquidGateway:
        at = stage.settings.model_copy(update={"exchange_url": stage.sim.url} if direct else {})
        made.append(HyperliquidGateway.connect(at, key=stage.key, governor=governor))
        return made[-1]

    yield make
    for gateway in made:
        await gateway.close()


async def asked(tasks: list["asyncio.Task[Any]"], number: int) -> None:
    """That many have been answered."""
    while sum(task.done() for task in tasks) < number:
        await asyncio.wait([task for task in tasks if not task.done()], return_when=asyncio.FIRST_COMPLETED)


def refused(stage: Stage) -> int:
    return sum(entry.status == 429 for entry in stage.sim.request_log.entries)


async def test_a_storm_of_reads_is_never_refused_and_an_order_passes_through_it(
    stage_of: StartStage, governor: Governor, governed: Governed
) -> None:
    stage = await stage_of(weight_per_minute=SHARE)
    gateway = governed(stage, governor, direct=True)
    reads = [asyncio.create_task(gateway._transport.info(FEES)) for _ in range(40)]
    await asked(reads, FIT)
    outcome = await gateway.execute(stage.intent(Side.BUY))
    assert outcome.status is OutcomeStatus.FILLED
    assert (sum(read.done() for read in reads), governor.waiting) == (FIT, 40 - FIT)
    for read in reads[FIT:]:
        read.cancel()
    await asyncio.gather(*reads[FIT:], return_exceptions=True)
    assert governor.waiting == 0
    # The order, and its fills: one row, of which the exchange charges a twentieth and we a whole.
    assert governor.left() == SHARE - FIT * FEES_WEIGHT - 1 - 21
    assert refused(stage) == 0


async def test_what_an_answer_did_not_weigh_is_given_to_those_who_wait(
    stage: Stage, governor: Governor, governed: Governed
) -> None:
    """One list of fills at a time has room; each turns out to be empty."""
    fills = {"type": "userFillsByTime", "user": stage.gateway.account, "startTime": 0}
    ask = governed(stage, governor)._transport.info
    async with asyncio.timeout(10):
        assert await asyncio.gather(*(ask(fills) for _ in range(3))) == [[], [], []]
    assert governor.left() == SHARE - 3 * 20


async def test_without_a_governor_the_same_exchange_refuses(stage_of: StartStage, governed: Governed) -> None:
    stage = await stage_of(weight_per_minute=SHARE)
    ask = governed(stage, Governor(None), direct=True)._transport.info
    answers = await asyncio.gather(*(ask(FEES) for _ in range(40)), return_exceptions=True)
    errors = [answer for answer in answers if isinstance(answer, BaseException)]
    assert len(errors) == 40 - SHARE // FEES_WEIGHT == refused(stage)
    assert all(isinstance(error, NotSent) and error.over_limit for error in errors)


async def test_an_order_without_room_in_its_time_is_known_not_to_be_sent(
    stage: Stage, governor: Governor, governed: Governed, timer: HandTimer
) -> None:
    gateway = governed(stage, governor)
    async with governor.turn(Weight(SHARE), urgent=True):
        order = asyncio.create_task(gateway.place(stage.intent()))
        await told()
        await timer.move(URGENT_WITHIN_S - 0.1)
        assert not order.done()
        await timer.move(0.1)
        with pytest.raises(
            NotSent, match=r"rate budget is exhausted: in [45]\.\d s there was no room for a weight of 1"
        ):
            await order
    assert (stage.sent("order"), governor.waiting, timer.next_s) == ([], 0, None)


async def test_a_read_without_room_in_its_time_is_not_sent(governor: Governor, timer: HandTimer) -> None:
    async with governor.turn(Weight(SHARE), urgent=True):
        read = asyncio.create_task(one(governor, FEES_WEIGHT))
        await told()
        await timer.move(READ_WITHIN_S)
        with pytest.raises(NotSent, match="rate budget is exhausted"):
            await read


async def test_after_a_429_orders_wait_too_and_then_leave(
    stage: Stage, governor: Governor, governed: Governed, timer: HandTimer
) -> None:
    gateway = governed(stage, governor)
    stage.proxy.spoil("userFees", SPOILT["429"])
    with pytest.raises(NotSent, match="HTTP 429"):
        await gateway._transport.info(FEES)
    order = asyncio.create_task(gateway.place(stage.intent()))
    await told()
    await timer.move(BACK_OFF_S - 0.1)
    assert governor.waiting == 1 and stage.sent("order") == []
    await timer.move(0.1)
    await order
    assert len(stage.sent("order")) == 1


@pytest.mark.parametrize("moved_s", [0, 60], ids=["in line", "just let go"])
async def test_a_request_cancelled_while_it_waits_leaves_nothing_behind(
    governor: Governor, timer: HandTimer, moved_s: float
) -> None:
    async with governor.turn(Weight(SHARE), urgent=True):
        pass
    waiting = asyncio.create_task(one(governor, 5, within_s=600))
    behind = asyncio.create_task(one(governor, SHARE - RESERVED, within_s=600))
    await told()
    timer.ring(moved_s)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await timer.move(60 - moved_s)
    await behind
    await timer.move(60)
    assert (governor.left(), governor.waiting, timer.next_s) == (SHARE, 0, None)


async def test_a_request_that_never_arrived_weighs_nothing_and_one_without_an_answer_all(governor: Governor) -> None:
    with pytest.raises(NotSent):
        await one(governor, 20, raises=NotSent("no connection"))
    assert governor.left() == SHARE
    with pytest.raises(Unknown):
        await one(governor, 20, raises=Unknown("timeout"))
    assert governor.left() == SHARE - 20


async def test_what_was_waited_is_told(governor: Governor, timer: HandTimer) -> None:
    async with governor.turn(Weight(1), urgent=True) as turn:
        assert turn.waited_s == 0
    async with governor.turn(Weight(SHARE - RESERVED - 1)):
        waiting = asyncio.create_task(one(governor, 1, within_s=100))
        await told()
    await timer.move(60)
    assert await waiting == 60


async def test_paper_passes_at_once_and_real_networks_do_not() -> None:
    paper = Governor.of(Endpoint(Network.PAPER, "http://127.0.0.1:1"), 200)
    assert paper.left() is None
    for _ in range(100):
        await one(paper, 1000)
    for at in (Endpoint(Network.TESTNET, "https://host"), Endpoint(Network.PAPER, "http://host", paper_limits=True)):
        assert Governor.of(at, 200).left() == 200
    assert Governor.of(Endpoint(Network.MAINNET, "https://host"), 200).left() == 200


async def test_the_heaviest_question_fits_beside_what_is_kept_in_the_smallest_share() -> None:
    smallest = Governor.of(Endpoint(Network.TESTNET, "https://host"), 200)
    for kind in ("userFills", "historicalOrders", "userRole"):
        async with smallest.turn(of_info({"type": kind})) as turn:
            turn.came_to([])
        smallest = Governor.of(Endpoint(Network.TESTNET, "https://host"), 200)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"worker_weight": 800}, "add up to 1300; 1200 a minute"),
        ({"feed_weight": 100}, "greater than or equal to 200"),
        ({"worker_weight": 1200, "feed_weight": 200}, "add up to 1700"),
    ],
)
def test_shares_that_do_not_fit_are_refused(given: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Settings(**given)  # type: ignore[arg-type]


async def test_the_address_budget_is_what_the_exchange_counted(stage: Stage) -> None:
    assert await stage.gateway.address_budget() == AddressBudget(used=0, cap=10_000, volume_usd=0)
    await stage.gateway.execute(stage.intent(size="1"))
    budget = await stage.gateway.address_budget()
    assert (budget.used, budget.cap, budget.left) == (1, 13_450, 13_449)
    assert 3_450 < budget.volume_usd < 3_451


def test_the_simulator_counts_rows_and_forgets_after_a_minute() -> None:
    now_s = 0.0
    limits = Limits(100, lambda: now_s)
    assert [limits.let_in("a", 60), limits.let_in("a", 60), limits.let_in("b", 60)] == [True, False, True]
    limits.answered("a", "userFills", [{}] * 800)
    assert (limits.used("a"), limits.let_in("a", 1)) == (100, False)
    now_s = 60.0
    assert limits.let_in("a", 100)


async def one(
    governor: Governor, weight: int, *, within_s: float = READ_WITHIN_S, raises: Exception | None = None
) -> float:
    """A read; how long it waited."""
    async with governor.turn(Weight(weight), within_s=within_s) as turn:
        if raises is not None:
            raise raises
    return turn.waited_s
