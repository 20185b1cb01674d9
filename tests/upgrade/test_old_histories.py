"""Trades of former releases replay: today's code decides what theirs decided, so an open trade can be upgraded."""

import gzip
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory

from tests.upgrade.scene import HISTORIES, RELEASES, replayer

RECORDED = sorted(HISTORIES.glob("*/*.json.gz"))


def _name(file: Path) -> str:
    return f"{file.parent.name}/{file.name.removesuffix('.json.gz')}"


def _history(file: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(_name(file), gzip.decompress(file.read_bytes()).decode())


@pytest.mark.parametrize("file", RECORDED, ids=_name)
async def test_a_trade_of_a_former_release_replays(file: Path) -> None:
    await replayer().replay_workflow(_history(file))


def test_every_release_that_is_kept_has_its_histories() -> None:
    kept = {archive.name.removesuffix(".tar.gz") for archive in RELEASES.glob("*.tar.gz")}
    assert kept == {file.parent.name for file in RECORDED} != set()
