from collections.abc import AsyncIterator

import pytest

from tests.stack import Floor, running_stack


@pytest.fixture(scope="module")
async def floor(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Floor]:
    """One stack for all tests of a module; each takes a coin of its own."""
    async with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running
