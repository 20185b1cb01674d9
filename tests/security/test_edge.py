"""After a whole cycle on the real stack: the keys are nowhere but where they belong, what Temporal keeps is sealed, and
nobody listens but on this machine."""

import asyncio
import base64
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowUpdateFailedError

from activities.notifying import NOTIFY_VARIABLE
from cli import trades
from connection import connect
from encryption import ENCODING, KEYS_VARIABLE, SealingCodec, load_keys, new_key
from exchange.network import KEY_VARIABLE
from settings import Settings
from tests.security.conftest import NOTIFY_TOKEN, REASON, Edge
from tests.security.leaks import command_line_of, descendants, environment_of, forms, leaks, listening, written
from workflows.contracts import Mode
from workflows.status import TradeStatus

# Of the first test the stack's start and cycle are a part, which a loaded machine takes its time for.
pytestmark = pytest.mark.timeout(300)

DOCUMENT = Path(__file__).parents[2] / "docs" / "operating.md"
ORIGIN = "http://127.0.0.1:8233"
UNSEALED = ({"searchAttributes"}, {"indexedFields"}, {"details", "patch-data"}, {"details", "data"})
"""What the server has to read; and what the SDK writes into its own markers: patches' names, a local activity's type,
number and time (not its result)."""


async def histories(edge: Edge) -> dict[str, str]:
    """Of every run of every workflow, as JSON."""
    client, found = edge.floor.client, {}
    async for run in client.list_workflows():
        history = await client.get_workflow_handle(run.id, run_id=run.run_id).fetch_history()
        found[f"{run.id} {run.run_id}"] = history.to_json()
    return found


def payloads(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Payload]]:
    """Every payload in a history's JSON, and where it is."""
    if isinstance(value, dict):
        if "encoding" in value.get("metadata", {}):
            metadata = {name: base64.b64decode(text) for name, text in value["metadata"].items()}
            yield path, Payload(metadata=metadata, data=base64.b64decode(value.get("data", "")))
        else:
            for name, inner in value.items():
                yield from payloads(inner, (*path, name))
    elif isinstance(value, list):
        for inner in value:
            yield from payloads(inner, path)


async def everything_kept(edge: Edge) -> dict[str, bytes]:
    kept = {name: history.encode() for name, history in (await histories(edge)).items()}
    codec = SealingCodec(load_keys(Settings()))
    for name, history in list(kept.items()):
        opened = await codec.decode([payload for _, payload in payloads(json.loads(history))])
        assert opened
        kept[f"{name} opened"] = b"\n".join(payload.SerializeToString() for payload in opened)
    kept |= {f"what {name} said": f"{done.out}\n{done.err}".encode() for name, done in edge.said.items()}
    return kept | dict(written(edge.floor.settings.state_dir))


async def test_no_key_is_in_anything_that_is_kept_or_said(edge: Edge) -> None:
    kept = await everything_kept(edge)
    expected = {"temporal.db", "journal.db", "simulator.db", "worker.log", "exchange.jsonl", "trace.jsonl"}
    assert expected <= set(kept)
    assert all(kept[name] for name in expected)
    for which, secret in {"private": edge.private_key, "payload": edge.payload_key}.items():
        found = {name: leaks(secret, text) for name, text in kept.items()}
        assert not {name: how for name, how in found.items() if how}, f"the {which} key leaked"
    assert not [name for name, text in kept.items() if NOTIFY_TOKEN.encode() in text]


@pytest.mark.parametrize("form", sorted(forms(bytes(32))))
def test_a_key_that_leaked_into_the_state_folder_would_be_found(edge: Edge, form: str) -> None:
    planted = edge.floor.settings.state_dir / "logs" / "planted.log"
    planted.write_bytes(b"x" + forms(edge.private_key)[form] + b"y")
    try:
        found = [name for name, text in written(planted.parent) if leaks(edge.private_key, text)]
    finally:
        planted.unlink()
    assert found == ["planted.log"]


def test_what_goes_wrong_is_told_in_one_line(edge: Edge) -> None:
    failed = {name: done for name, done in edge.said.items() if done.code != 0}
    assert {"a refused start", "a bad payload key", "no payload key", "a worker with a bad key"} <= set(failed)
    for name, done in failed.items():
        assert "Traceback" not in done.err + done.out, name
    assert KEYS_VARIABLE in edge.said["no payload key"].error
    for name in ("feed", "worker"):
        done = edge.said[f"a {name} on mainnet without a payload key"]
        assert done.code == 1 and "hypertrader codec new-key" in done.error


def test_keys_are_given_to_those_processes_alone_that_need_them(edge: Edge) -> None:
    holders: dict[str, set[str]] = {KEY_VARIABLE: set(), KEYS_VARIABLE: set(), NOTIFY_VARIABLE: set()}
    for name, child in edge.floor.stack.children.items():
        assert child.pid is not None
        environment = environment_of(child.pid)
        for variable, where in holders.items():
            if f"\0{variable}=".encode() in b"\0" + environment:
                where.add(name)
        for secret, variable in ((edge.private_key, KEY_VARIABLE), (edge.payload_key, KEYS_VARIABLE)):
            assert bool(leaks(secret, environment)) == (name in holders[variable])
            for pid in descendants(child.pid):
                assert not leaks(secret, command_line_of(pid))
    assert holders == {KEY_VARIABLE: {"worker"}, KEYS_VARIABLE: {"worker", "feed"}, NOTIFY_VARIABLE: {"worker"}}


async def test_all_that_temporal_keeps_of_a_trade_is_sealed_but_what_it_searches_by(edge: Edge) -> None:
    places = set()
    for name, history in (await histories(edge)).items():
        for path, payload in payloads(json.loads(history)):
            if not any(set(path) >= unsealed for unsealed in UNSEALED):
                assert payload.metadata["encoding"] == ENCODING.encode(), (name, path)
                places.add(path[-1])
        # A failure has its words and its trace in a payload as well.
        assert "Traceback" not in history and 'File "' not in history.replace("\\", "")
    assert {"payloads", "summary", "encodedAttributes"} <= places


async def test_a_persons_words_are_in_the_journal_and_not_in_temporals_files(edge: Edge) -> None:
    found = {name for name, text in written(edge.floor.settings.state_dir) if REASON.encode() in text}
    assert any("journal.db" in name for name in found)
    assert not [name for name in found if "temporal.db" in name]


def test_every_process_listens_on_this_machine_alone(edge: Edge) -> None:
    ports = edge.floor.stack.ports
    found = {
        name: {at for pid in descendants(child.pid) for at in listening(pid)}
        for name, child in edge.floor.stack.children.items()
        if child.pid is not None
    }
    everything = set().union(*found.values())
    assert {address for address, _ in everything} <= {"127.0.0.1", "::1"}, found
    assert {port for _, port in found["temporal"]} >= {ports.temporal, ports.ui}
    assert {port for _, port in found["simulator"]} == {ports.exchange, ports.control}


async def test_the_codec_server_opens_and_seals_for_the_web_ui_and_nobody_elses_page(edge: Edge) -> None:
    [sealed] = await SealingCodec(load_keys(Settings())).encode([Payload(data=b'"plain"')])
    asked = {"payloads": [{"metadata": {k: _b64(v) for k, v in sealed.metadata.items()}, "data": _b64(sealed.data)}]}
    async with edge.codec() as (url, pid), aiohttp.ClientSession() as session:
        assert {address for address, _ in listening(pid)} == {"127.0.0.1"}
        async with session.options(f"{url}/decode", headers={"Origin": ORIGIN}) as answer:
            assert answer.ok and answer.headers["Access-Control-Allow-Origin"] == ORIGIN
            assert "X-Namespace" in answer.headers["Access-Control-Allow-Headers"]
        for headers in ({"Origin": ORIGIN}, {}):
            async with session.post(f"{url}/decode", json=asked, headers=headers) as answer:
                assert answer.headers.get("Access-Control-Allow-Origin") == headers.get("Origin")
                opened = await answer.json()
        assert base64.b64decode(opened["payloads"][0]["data"]) == b'"plain"'
        async with session.post(f"{url}/encode", json=opened) as answer:
            again = (await answer.json())["payloads"][0]
        assert base64.b64decode(again["metadata"]["encoding"]) == ENCODING.encode()
        assert again["data"] != asked["payloads"][0]["data"]
        for method in ("POST", "OPTIONS"):
            for origin in ("http://evil.example", "null", "http://127.0.0.1:9999"):
                async with session.request(method, f"{url}/decode", json=asked, headers={"Origin": origin}) as answer:
                    assert answer.status == 403
                    assert "Access-Control-Allow-Origin" not in answer.headers
                    assert opened["payloads"][0]["data"] not in await answer.text()
        async with session.post(f"{url}/decode", data=b"no JSON") as answer:
            assert answer.status == 400


def documented() -> list[list[str]]:
    """The commands of docs/operating.md for the `temporal` program with a codec server, for a trade on SOL."""
    section = DOCUMENT.read_text("utf-8").split("### Reading in the Web UI")[1].split("\n### ")[0]
    lines = [line for line in section.splitlines() if line.startswith("temporal workflow ")]
    return [shlex.split(line.replace("trade-ETH", "trade-SOL")) for line in lines]


async def test_with_the_codec_server_the_documents_commands_read_and_command_a_trade(edge: Edge) -> None:
    trade = await edge.floor.open("SOL", price="150", margin=1000, unit_size=1, leverage=2)
    query, show, pause, resume = documented()
    assert '"phase"' not in temporal(edge, query)
    async with edge.codec() as (url, _):
        assert '"phase"' in temporal(edge, query, url)
        assert "WorkflowExecutionStarted" in temporal(edge, show, url)
        history = json.loads(temporal(edge, [*show, "--output", "json"], url))
        assert ENCODING not in [payload.metadata["encoding"].decode() for _, payload in payloads(history)]
        assert "ADVANCE" in temporal(edge, ["temporal", "workflow", "metadata", "-w", "trade-SOL"], url)
        assert "paused" in temporal(edge, pause, url)
        assert (await trades.status(edge.floor.client, "SOL")).mode is Mode.PAUSED
        assert "trading" in temporal(edge, resume, url)
    # Plain JSON of somebody without a codec server is taken as well.
    signal = ["temporal", "workflow", "signal", "-w", "trade-SOL", "--name", "pause", "--input", "{}"]
    temporal(edge, signal)
    await until(edge, "SOL", lambda status: status.mode is Mode.PAUSED)
    await trade.close()


async def test_what_is_sealed_with_a_foreign_key_is_refused_and_noted_and_the_trade_goes_on(edge: Edge) -> None:
    trade = await edge.floor.open("SOL", price="150", margin=1000, unit_size=1, leverage=2)
    with pytest.MonkeyPatch.context() as around:
        around.setenv(KEYS_VARIABLE, new_key())
        foreign = await connect(edge.floor.settings)
    handle = foreign.get_workflow_handle("trade-SOL")
    await handle.signal("pause", {"reason": "of another installation"})
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update("pause", {"reason": "of another installation"})
    status = await until(edge, "SOL", lambda status: "sealed with payload key" in " ".join(status.notes))
    assert status.mode is Mode.TRADING
    assert (await trade.to(1)).unit == 1
    await trade.close()


async def until(edge: Edge, coin: str, holds: Callable[[TradeStatus], bool]) -> TradeStatus:
    async with asyncio.timeout(60):
        while True:
            status = await trades.status(edge.floor.client, coin)
            if holds(status):
                return status
            await asyncio.sleep(0.05)


def temporal(edge: Edge, words: list[str], codec_url: str | None = None) -> str:
    """What the `temporal` program writes, without any of our keys around it."""
    around = {"TEMPORAL_ADDRESS": edge.floor.settings.temporal_address, "HOME": os.environ.get("HOME", "/")}
    if codec_url is not None:
        around["TEMPORAL_CODEC_ENDPOINT"] = codec_url
    finished = subprocess.run(
        [str(Path(sys.executable).parent / words[0]), *words[1:]],
        env=around,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, f"{words}: {finished.stderr}"
    return finished.stdout


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode()
