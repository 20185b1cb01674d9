"""The exchange's rate budgets, as commands see and keep to them."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from cli.doctor import examine
from cli.errors import CommandFailed
from cli.venue import Venue
from exchange.budget import Budget
from exchange.governor import READ_WITHIN_S, Governor
from exchange.network import load_key
from exchange.weights import Weight
from settings import Settings
from simulator.server import Simulator, SimulatorConfig
from tests.exchange.hand_timer import HandTimer, told


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(SimulatorConfig()) as running:
        yield running


@pytest.fixture
def chosen(simulator: Simulator, tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path, exchange_url=simulator.url, paper_limits=True)


@pytest.mark.parametrize(
    ("used", "ok", "text"),
    [
        (188, True, "9,812 of 10,000 requests left (0 USD traded so far)"),
        (9_000, True, "1,000 of 10,000 requests left (0 USD traded so far)"),
        (9_001, False, "999 of 10,000 requests left (0 USD traded so far)"),
        (12_000, False, "0 of 10,000 requests left (0 USD traded so far)"),
    ],
)
async def test_doctor_shows_what_the_account_has_left_and_what_to_do_about_little(
    simulator: Simulator, chosen: Settings, used: int, ok: bool, text: str
) -> None:
    simulator.venue.deposit(load_key(chosen).address.lower(), Decimal(1_000)).requests_used = used
    (finding,) = await examine(chosen, ["address budget"])
    assert (finding.ok, finding.text) == (ok, text)
    assert ("larger unit size" in finding.cure) is not ok


async def test_doctor_fits_into_a_commands_share(simulator: Simulator, chosen: Settings) -> None:
    findings = await examine(chosen, ["key", "exchange", "clock", "account", "address budget", "savings"])
    assert all(finding.ok for finding in findings), findings


async def test_what_a_command_reads_without_a_key_counts_too_and_is_not_asked_without_room(
    simulator: Simulator, chosen: Settings
) -> None:
    async with Venue(chosen) as venue:
        assert venue.governor.left() == chosen.command_weight
        timer = HandTimer()
        venue.governor = Governor(Budget(200, 50), timer)
        await venue.mid_prices()
        await venue.coin_of("ETH")
        assert venue.governor.left() == 200 - 2 - 20
        async with venue.governor.turn(Weight(178), urgent=True):
            asking = asyncio.create_task(venue.mid_prices())
            await told()
            await timer.move(READ_WITHIN_S)
            with pytest.raises(CommandFailed, match="not asked: the rate budget is exhausted"):
                await asking
