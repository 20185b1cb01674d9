"""What can't be done is one line with what to do, and leaves nothing behind."""

import re
from decimal import Decimal

import pytest
from temporalio.service import RPCError

from cli import opening, trades
from cli.errors import CommandFailed
from cli.ports import Ports
from tests.cli.conftest import hypertrader, hypertrader_process
from tests.stack import Floor, environment
from workflows.asked import workflow_id

TEST_KEY = "0x" + "4f" * 32
START = {"--margin": "1000", "--unit-size": "10", "--leverage": "10"}

REFUSED_STARTS = {
    "unknown coin": ("ETHX", {}, r"coin ETHX is not traded on paper: did you mean .*ETH"),
    "margin below the minimum order": (
        "SOL",
        {"--margin": "1", "--unit-size": "1"},
        r"margin is 1: .* 10x .* takes 10 .* at least .* USD",
    ),
    "no margin": ("SOL", {"--margin": "0"}, r"margin is 0; it must be more than 0"),
    "unit size zero": ("SOL", {"--unit-size": "0"}, r"unit size is 0; it must be more than 0"),
    "unit size negative": ("SOL", {"--unit-size": "-2"}, r"unit size is -2; it must be more than 0"),
    "price would turn negative": ("SOL", {"--unit-size": "40"}, r"6 units below .* would be -.*: use less than"),
    "leverage above the market's": ("SOL", {"--leverage": "400"}, r"leverage is 400; SOL allows 1 to \d+"),
    "liquidation inside the ladder": ("SOL", {"--unit-size": "5"}, r"liquidation at 1\d\d.* ends at 1\d\d"),
    "step below $10": ("SOL", {"--margin": "4.5", "--unit-size": "1"}, r"smallest step .* order of 9 USD .* takes 10"),
    "unit below its costs": ("SOL", {"--unit-size": "0.1"}, r"round trip costs .* 3 times that is .*--yes"),
    "more than the account has": ("SOL", {"--margin": "2000000", "--unit-size": "1"}, r"margin is 2000000; .* free"),
}
BAD_OPTIONS = {
    "margin that is no number": (("trade", "start", "SOL", "--margin", "much", "--unit-size", "1"), "--margin is much"),
    "preset that is nowhere": (
        ("trade", "start", "SOL", "--margin", "9", "--unit-size", "1", "--preset", "v9"),
        "--preset is v9; it must be v6, v7, fibonacci or a .yaml, .yml or .json file",
    ),
    "no margin and no portfolio": (
        ("trade", "start", "SOL", "--unit-size", "1"),
        "--margin and --portfolio are missing: one of them is needed",
    ),
    "a margin and a portfolio": (
        ("trade", "start", "SOL", "--unit-size", "1", "--margin", "9", "--portfolio", "main"),
        "--margin is 9 and --portfolio is main: one of them is needed",
    ),
    "leaving at a time without a zone": (
        ("trade", "leave", "SOL", "--until", "2027-01-31T00:00"),
        "--until is 2027-01-31T00:00: a time such as 2027-01-31T00:00Z is allowed",
    ),
    "leaving at a profit of nothing": (("trade", "leave", "SOL", "--profit", "0"), "--profit is 0; it must be more"),
    "network that is none": (("--network", "moon", "trade", "list"), "network is 'moon'"),
    "command that is none": (("trade", "hold"), "hold"),
    "recover from nothing": (("recover",), "recover takes --from-exchange"),
    "size that is no number": (("exchange", "buy", "SOL", "some"), "SIZE is some"),
}


@pytest.fixture(scope="module")
async def sol(floor: Floor) -> Floor:
    await floor.control.set_price("SOL", Decimal(200))
    return floor


def start_of(why: str) -> list[str]:
    coin, options, _ = REFUSED_STARTS[why]
    return ["trade", "start", coin, *(word for pair in (START | options).items() for word in pair)]


@pytest.mark.parametrize("why", REFUSED_STARTS)
async def test_a_refused_start_is_one_line_with_its_figures(sol: Floor, why: str) -> None:
    finished = await hypertrader(*start_of(why), env=sol.environment())
    assert finished.code == 1
    assert re.search(REFUSED_STARTS[why][2], finished.error), finished.error


async def test_a_refusal_is_the_same_from_a_process_of_its_own(sol: Floor) -> None:
    why = "liquidation inside the ladder"
    finished = await hypertrader_process(*start_of(why), env=sol.environment())
    assert (finished.code, finished.out) == (1, "")
    assert re.search(REFUSED_STARTS[why][2], finished.error), finished.error


async def test_refused_starts_leave_nothing_half_opened(floor: Floor) -> None:
    """After all of them."""
    assert not (await floor.books())["acceptedOrders"]
    assert not (await floor.books())["positions"]
    assert await trades.trades(floor.client) == []
    assert await trades.trades(floor.client, ended=True) == []


async def test_a_refused_start_is_no_trade_to_look_at(sol: Floor) -> None:
    refused = await hypertrader(*start_of("liquidation inside the ladder"), env=sol.environment())
    for look in ("status", "watch"):
        finished = await hypertrader("trade", look, "SOL", env=sol.environment())
        assert (finished.code, finished.out) == (1, "")
        assert finished.error == f"no trade on SOL is open; its last start failed: {refused.error}"


@pytest.mark.parametrize("why", BAD_OPTIONS)
async def test_a_bad_option_is_one_line_and_exit_code_2(floor: Floor, why: str) -> None:
    words, expected = BAD_OPTIONS[why]
    finished = await hypertrader(*words, env=floor.environment())
    assert finished.code == 2
    assert expected in finished.error


async def test_a_trade_that_runs_is_not_started_twice(floor: Floor) -> None:
    trade = await floor.open("DOGE", price="0.2", margin=1000, unit_size="0.001", leverage=5)
    accepted = len((await floor.books())["acceptedOrders"])
    finished = await hypertrader(
        "trade", "start", "DOGE/USDC:USDC", "--margin", "1000", "--unit-size", "0.001", env=floor.environment()
    )
    assert (finished.code, finished.error.split(":")[0]) == (1, "a trade on DOGE already runs")
    assert len((await floor.books())["acceptedOrders"]) == accepted
    await trade.close()


async def test_commands_on_trades_that_are_not_there_say_so(floor: Floor) -> None:
    for words in (("pause", "HYPE"), ("status", "HYPE"), ("watch", "HYPE")):
        finished = await hypertrader("trade", *words, env=floor.environment())
        assert finished.code == 1
        assert "HYPE" in finished.error


async def test_no_connection_to_temporal_is_one_line(floor: Floor) -> None:
    nowhere = f"127.0.0.1:{Ports.free().temporal}"
    start = ("trade", "start", "SOL", "--margin", "1000", "--unit-size", "10")
    for words in (start, ("trade", "list"), ("trade", "pause", "SOL")):
        finished = await hypertrader(*words, "--temporal", nowhere, env=floor.environment())
        assert finished.code == 1
        assert re.match(rf"Temporal does not answer at {nowhere}: start it with", finished.error), finished.error
    assert not (await floor.books())["positions"]


async def test_no_connection_to_the_exchange_is_one_line_and_starts_nothing(floor: Floor) -> None:
    nowhere = f"http://127.0.0.1:{Ports.free().exchange}"
    env = environment(floor.settings.model_copy(update={"exchange_url": nowhere}))
    finished = await hypertrader("trade", "start", "SOL", "--margin", "1000", "--unit-size", "10", env=env)
    assert finished.code == 1
    assert re.match(rf"the exchange does not answer at {nowhere}: start it with", finished.error), finished.error
    assert await trades.trades(floor.client) == []
    finished = await hypertrader("exchange", "position", "SOL", env=env)
    assert finished.code == 1
    assert finished.error


async def test_mainnet_without_its_second_yes_is_refused(floor: Floor) -> None:
    env = floor.environment() | {"HYPERTRADER_PRIVATE_KEY": TEST_KEY}
    finished = await hypertrader("--network", "mainnet", "exchange", "balance", env=env)
    assert finished.code == 1
    assert "HYPERTRADER_ALLOW_MAINNET" in finished.error
    assert TEST_KEY not in finished.err


async def test_a_start_without_a_worker_is_given_up_with_nothing_left(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs last: it stops the worker."""
    monkeypatch.setattr(opening, "PATIENCE_S", 1.5)
    await floor.stack.children["worker"].stop()
    with pytest.raises(CommandFailed, match=r"no worker answered in .* Nothing was opened on SOL"):
        await trades.start_trade("SOL", 1000, 10, leverage=5, settings=floor.settings, client=floor.client)
    description = await floor.client.get_workflow_handle(workflow_id("SOL")).describe()
    assert description.status is not None
    assert description.status.name == "TERMINATED"
    assert not (await floor.books())["positions"]
    with pytest.raises(RPCError):
        await floor.client.get_workflow_handle(workflow_id("SOL")).signal("pause")
