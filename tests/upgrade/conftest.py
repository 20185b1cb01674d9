from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.upgrade.scene import Scene, scene_of, temporal_server


@pytest.fixture(scope="session")
async def upgraded_server() -> AsyncIterator[Client]:
    async with temporal_server() as client:
        yield client


@pytest.fixture
async def scene(upgraded_server: Client, tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene_of(upgraded_server, tmp_path) as ready:
        yield ready
