"""Nothing that reaches a running trade can wedge or end it: it is refused and noted, and the trade goes on trading.

Through the real `temporal` command: a table. Below it, byte by byte through the server's own interface: Hypothesis.
HYPERTRADER_FUZZ_EXAMPLES=500 makes it try that many batches, with a fresh seed.
"""

import asyncio
import json
import os
import shutil
import sys
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from temporalio.api.common.v1 import Header, Payload, Payloads, WorkflowExecution
from temporalio.api.enums.v1 import UpdateWorkflowExecutionLifecycleStage, WorkflowTaskFailedCause
from temporalio.api.query.v1 import WorkflowQuery
from temporalio.api.update.v1 import Input, Meta, Request, WaitPolicy
from temporalio.api.workflowservice.v1 import (
    QueryWorkflowRequest,
    SignalWorkflowExecutionRequest,
    UpdateWorkflowExecutionRequest,
)
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError

from encryption import data_converter
from settings import Settings
from strategy.values import Phase
from tests.workflows.conftest import Rig, rig_of
from workflows.contracts import Mode

EXAMPLES = int(os.environ.get("HYPERTRADER_FUZZ_EXAMPLES", "0"))
AT_ONCE = 6
OPENED = {"coin": "ETH", "margin_usd": "300", "leverage": 3, "unit_size": "2", "accepts_costs": True}
HARMLESS = (
    # The server's own, when a signal meets the end of a run.
    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND,
    WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND,
)


class Target:
    """A trade that is shot at, and a look at its health."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self._healthy = False
        self._run_id = ""

    async def ready(self) -> None:
        """A trade in good health; a new one after one that was harmed, so that Hypothesis can shrink what did it."""
        if not self._healthy:
            if self._run_id:
                await self.rig.trade.terminate()
                await self.rig.gateway.close_position("ETH")
            await self.rig.open(**OPENED)
            self._run_id = await self._newest_run()
        self._healthy = False

    async def assert_it_goes_on(self) -> None:
        """It answers, takes commands, turns a price into an order, and no workflow task of it ever failed."""
        rig = self.rig
        status = await rig.until(lambda _: True)
        if status.mode is Mode.PAUSED:
            await rig.trade.execute_update("resume", {})
            status = await rig.until(lambda now: now.mode is Mode.TRADING)
        assert status.mode is Mode.TRADING, status.attention
        before = len(await rig.orders_accepted())
        for _ in range(4):
            status = await rig.until(lambda now: not now.order_in_flight)
            # Four units at most: one down from the peak is a step; from anywhere else two up are.
            price = status.trigger_down if status.phase is Phase.ADVANCE else status.trigger_up
            assert price is not None
            await rig.price_at(price)
            if len(await rig.orders_accepted()) > before:
                break
        else:
            raise AssertionError(f"no order came of four units; the trade is {await rig.status()}")
        assert (await rig.trade.describe()).status is WorkflowExecutionStatus.RUNNING
        assert await self._failed_tasks() == []
        self._healthy = True

    async def _newest_run(self) -> str:
        return (await self.rig.client.get_workflow_handle(self.rig.trade.id).describe()).run_id

    async def _failed_tasks(self) -> list[str]:
        runs = {self._run_id, newest := await self._newest_run()}
        self._run_id = newest
        histories = [
            await self.rig.client.get_workflow_handle(self.rig.trade.id, run_id=run).fetch_history() for run in runs
        ]
        failures = [
            event.workflow_task_failed_event_attributes
            for history in histories
            for event in history.events
            if event.HasField("workflow_task_failed_event_attributes")
        ]
        return [str(failure)[:2000] for failure in failures if failure.cause not in HARMLESS]

    async def refusals(self) -> list[str]:
        lines = await self.rig.journal.history(self.rig.trade.id, kinds=["rejected_input"])
        return [f"{line.entry.name}: {line.entry.text}" for line in lines if line.entry.kind == "rejected_input"]


@pytest.fixture(scope="module")
async def target(temporal: Client, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Target]:
    address = temporal.service_client.config.target_host
    # As every process of an installation connects.
    client = await Client.connect(address, data_converter=data_converter(Settings()))
    folder = tmp_path_factory.mktemp("fuzz")
    async with rig_of(client, folder, prices={"ETH": Decimal(3450)}) as rig:
        yield Target(rig)


# --- Through the command line ---


@dataclass(frozen=True)
class Refused:
    """`temporal workflow signal` with these words; the trade says why not."""

    name: str
    words: tuple[str, ...]
    why: str
    file: bytes | None = None
    """Given with --input-file."""


def signal(name: str, *words: str, why: str, file: bytes | None = None) -> Refused:
    return Refused(name, words, why, file)


def given_as(encoding: str, text: str = "{}") -> tuple[str, ...]:
    return ("--input", text, "--input-meta", f"encoding={encoding}")


ONE_OBJECT = "one JSON object is expected"
SIGNALS = (
    signal("set_unit_size", why="unit_size is '{}': Field required"),
    signal("units_moved", why="ticks is '{}': Field required"),
    signal("was_away", why="who is '{}': Field required"),
    signal("close", "--input", "{}", "--input", "{}", why="2 arguments were given"),
    signal("stop", "--input", "{}", "--input", "[]", "--input", "null", why="3 arguments were given"),
    signal("close", "--input", '"now"', why=f"'now' was given; {ONE_OBJECT}"),
    signal("close", "--input", "5", why=f"'5' was given; {ONE_OBJECT}"),
    signal("stop", "--input", "true", why=f"'True' was given; {ONE_OBJECT}"),
    signal("release", "--input", "[{}]", why=f"'[{{}}]' was given; {ONE_OBJECT}"),
    signal("resume", "--input", "null", why="resume is for a trade that is paused or attention"),
    signal("resume", why="resume is for a trade that is paused or attention"),
    signal("close", "--input", '{"reason": 5}', why="reason is '5': Input should be a valid string"),
    signal("close", "--input", '{"reason": null}', why="reason is 'None'"),
    signal("close", "--input", '{"raeson": "x"}', why="raeson is not known; allowed: reason"),
    signal("close", "--input", '{"reason": "x", "version": 99}', why="version is not known"),
    signal("set_unit_size", "--input", '{"unit_size": "NaN"}', why="unit_size is 'NaN'"),
    signal("set_unit_size", "--input", '{"unit_size": "-Infinity"}', why="unit_size is '-Infinity'"),
    signal("set_unit_size", "--input", '{"unit_size": 1e400}', why="unit_size is 'inf'"),
    signal("set_unit_size", "--input", '{"unit_size": "1e400"}', why="unit_size"),
    signal("set_unit_size", "--input", '{"unit_size": "1e-400"}', why="unit"),
    signal("set_unit_size", "--input", '{"unit_size": 0}', why="unit_size is '0': Input should be greater than 0"),
    signal("set_unit_size", "--input", '{"unit_size": [3]}', why="unit_size is '[3]'"),
    signal("set_unit_size", "--input", '{"unit_size": "2", "reason": {"a": {"b": []}}}', why="reason is"),
    signal("set_unit_size", "--input", f'{{"unit_size": "2.{"0" * 90_000}1"}}', why="unit_size"),
    signal("units_moved", "--input", '{"ticks": {"price": 1}, "tid": "x"}', why="ticks is"),
    signal("units_moved", "--input", '{"ticks": [{"price": "3450", "time_ms": 1e30}], "tid": 1}', why="time_ms"),
    signal("edit", why="input is '{}': Field required"),
    signal("edit", "--input", '{"input": 5}', why="input is '5'"),
    signal("edit", "--input", '{"input": {"coin": "ETH", "unit_size": "2", "sum": 1}}', why="input.sum is not known"),
    signal("edit", "--input", '{"input": {"coin": "ETH", "unit_size": "NaN"}}', why="input.unit_size is 'NaN'"),
    signal("edit", "--input", '{"input": {"coin": "BTC", "unit_size": "2"}}', why="a running trade keeps its ETH"),
    signal("close", *given_as("binary/plain"), why=ONE_OBJECT),
    signal("close", *given_as("json/protobuf"), why="close"),
    signal("close", *given_as("binary/protobuf"), why="close"),
    signal("close", *given_as("binary/unheard-of"), why="close"),
    signal("close", *given_as("binary/encrypted", "not encrypted"), why="close"),
    signal("close", "--input", f'{{"reason": {"9" * 5_000}}}', why="close"),
    signal("close", "--input", "[" * 5_000 + "]" * 5_000, why="close"),
    signal("resume", "--input", '{"reason": "\U0001f680 \u202e\\u0000\\ud800"}', why="resume"),
    signal("close", "--input", '{"\\u0000\\u001b[31m\\ud800": 1}', why="close"),
    signal("granted", why="ask_id is '{}': Field required"),
    signal("granted", "--input", '{"ask_id": "1", "margin_usd": "-5"}', why="margin_usd is '-5'"),
    signal("granted", "--input", '{"ask_id": "1", "margin_usd": "1e400"}', why="margin_usd"),
    signal("review", "--input", '{"now": true}', why="review is for a trade that has its margin from a portfolio"),
    signal("review", "--input", '{"now": "at once"}', why="now is 'at once'"),
    signal("leave", "--input", '{"profit_usd": 0}', why="profit_usd is '0': Input should be greater than 0"),
    signal("leave", "--input", '{"until_ms": 1}', why="until_ms is 1; a moment ahead is allowed"),
    signal("leave", "--input", f'{{"until_ms": {10**18}}}', why="until_ms is"),
    signal("halt_and_catch_fire", "--input", "{}", why="there is no signal halt_and_catch_fire"),
    signal("status", "--input", "{}", why="there is no signal status"),
    signal("halt\n\t\x1b[31m\u202e", "--input", "{}", why="there is no signal halt"),
    signal("close", why="field", file=json.dumps({f"k{i}": i for i in range(100_000)}).encode()),
    signal("close", why="reason is 'xxx", file=json.dumps({"reason": "x" * 1_900_000}).encode()),
    signal("units_moved", why="tick", file=json.dumps({"ticks": [{"a": 1}] * 100_000, "tid": 1}).encode()),
)

LOCALLY_REFUSED = (
    ("signal", "--name", "close", "--input", "not JSON"),
    ("signal", "--name", "close", "--input", '{"unit_size": NaN}'),
    ("signal", "--name", "", "--input", "{}"),
    ("signal", "--name", "close", "--input-file", "{beyond}"),
    ("update", "execute", "--name", "set_unit_size"),
    ("update", "execute", "--name", "set_unit_size", "--input", "{}", "--input", "{}"),
    ("update", "execute", "--name", "set_unit_size", "--input", '{"unit_size": "1e400"}'),
    ("update", "execute", "--name", "close", "--input", '["now"]'),
    ("update", "execute", "--name", "close", "--input", "{}", "--input-meta", "encoding=binary/plain"),
    ("update", "execute", "--name", "stop", "--input", "{}", "--input-meta", "encoding=binary/unheard-of"),
    ("update", "execute", "--name", "release", "--input", '{"reason": 5}'),
    ("update", "execute", "--name", "resume", "--input", "{}"),
    ("update", "execute", "--name", "edit", "--input", '{"input": {"coin": "BTC", "unit_size": "2"}}'),
    ("update", "execute", "--name", "edit", "--input", '{"input": {"coin": "ETH", "unit_size": "1e400"}}'),
    ("update", "execute", "--name", "leave", "--input", '{"until_ms": 1}'),
    ("update", "execute", "--name", "review", "--input", "{}"),
    ("update", "execute", "--name", "halt_and_catch_fire", "--input", "{}"),
    ("query", "--type", "halt_and_catch_fire"),
)
"""Answered at once: by the program itself, the server, or a validator."""


async def temporal_cli(rig: Rig, *words: str) -> tuple[int, str]:
    binary = shutil.which("temporal", path=str(Path(sys.executable).parent)) or shutil.which("temporal")
    assert binary
    address = rig.client.service_client.config.target_host
    process = await asyncio.create_subprocess_exec(
        binary,
        "workflow",
        *words,
        *("--workflow-id", rig.trade.id, "--address", address),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode("utf-8", "replace")


@pytest.mark.timeout(240)
async def test_what_the_temporal_command_sends_is_refused_and_noted(target: Target, tmp_path: Path) -> None:
    await target.ready()
    turns = asyncio.Semaphore(AT_ONCE)

    async def shoot(number: int, case: Refused) -> None:
        words = case.words
        if case.file is not None:
            file = tmp_path / f"{number}.json"
            file.write_bytes(case.file)
            words = ("--input-file", str(file))
        async with turns:
            code, output = await temporal_cli(target.rig, "signal", "--name", case.name, *words)
        assert code == 0, f"{case}: {output}"

    await asyncio.gather(*(shoot(number, case) for number, case in enumerate(SIGNALS)))
    await target.assert_it_goes_on()
    refusals = await target.refusals()
    missing = [
        (case.name, case.why)
        for case in SIGNALS
        if not any(case.name[:4] in refusal and case.why in refusal for refusal in refusals)
    ]
    assert not missing, refusals
    assert len(refusals) >= len(SIGNALS)


async def test_what_is_refused_at_once_leaves_the_trade_alone(target: Target, tmp_path: Path) -> None:
    await target.ready()
    beyond = tmp_path / "beyond.json"
    beyond.write_text(json.dumps({"reason": "x" * 5_000_000}))
    turns = asyncio.Semaphore(AT_ONCE)

    async def shoot(words: tuple[str, ...]) -> None:
        async with turns:
            code, output = await temporal_cli(target.rig, *(word.replace("{beyond}", str(beyond)) for word in words))
        assert code != 0, f"{words}: {output}"

    await asyncio.gather(*(shoot(words) for words in LOCALLY_REFUSED))
    await target.assert_it_goes_on()


# --- Byte by byte ---


@dataclass(frozen=True)
class Message:
    kind: str
    name: str
    payloads: tuple[tuple[dict[str, bytes], bytes], ...]
    header: tuple[tuple[str, bytes], ...] = ()

    def __repr__(self) -> str:
        """Not megabytes of it."""
        payloads = [(metadata, data if len(data) < 300 else data[:100] + b"...") for metadata, data in self.payloads]
        return f"Message({self.kind!r}, {self.name!r}, {payloads!r}, {self.header!r})"


async def send(rig: Rig, message: Message) -> None:
    """Whatever the server answers."""
    client = rig.client
    execution = WorkflowExecution(workflow_id=rig.trade.id)
    payloads = Payloads(payloads=[Payload(metadata=metadata, data=data) for metadata, data in message.payloads])
    header = Header(fields={name: Payload(data=data) for name, data in message.header})
    common = {"namespace": client.namespace}
    try:
        match message.kind:
            case "signal":
                await client.workflow_service.signal_workflow_execution(
                    SignalWorkflowExecutionRequest(
                        **common,
                        workflow_execution=execution,
                        signal_name=message.name,
                        input=payloads,
                        header=header,
                        request_id=uuid.uuid4().hex,
                    )
                )
            case "query":
                await client.workflow_service.query_workflow(
                    QueryWorkflowRequest(
                        **common,
                        execution=execution,
                        query=WorkflowQuery(query_type=message.name, query_args=payloads, header=header),
                    ),
                    timeout=timedelta(seconds=20),
                )
            case _:
                stage = UpdateWorkflowExecutionLifecycleStage.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED
                await client.workflow_service.update_workflow_execution(
                    UpdateWorkflowExecutionRequest(
                        **common,
                        workflow_execution=execution,
                        wait_policy=WaitPolicy(lifecycle_stage=stage),
                        request=Request(
                            meta=Meta(update_id=uuid.uuid4().hex),
                            input=Input(header=header, name=message.name, args=payloads),
                        ),
                    ),
                    timeout=timedelta(seconds=20),
                )
    except RPCError:
        # Refused by the server, or too slow: what counts is how the trade is afterwards.
        pass


def plain_json(text: str | bytes) -> tuple[dict[str, bytes], bytes]:
    return {"encoding": b"json/plain"}, text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")


def price_message(price: str = "3450", *, count: int = 1, **fields: Any) -> Message:
    """Of a time long ago, so that what is taken moves nothing."""
    ticks = [{"price": price, "time_ms": 1}] * count
    return Message("signal", "units_moved", (plain_json(json.dumps({"ticks": ticks, "tid": 1, **fields})),))


def walking_message() -> Message:
    """Up and down over thousands of units, ten thousand times: each price is plausible by itself."""
    now_ms = int(time.time() * 1000)
    ticks = [{"price": price, "time_ms": now_ms} for price in ("900", "15000") * 5_000]
    return Message("signal", "units_moved", (plain_json(json.dumps({"ticks": ticks, "tid": 1})),))


LATE = f'{{"ticks": [{{"price": 1, "time_ms": {"9" * 4_000}}}], "tid": 1}}'

HARD = (
    price_message("3450." + "1" * 1_800_000),
    price_message("9" * 200_000, count=5),
    price_message(traceparent="x" * 1_800_000),
    price_message("1e999999999"),
    Message("signal", "units_moved", (plain_json(LATE),)),
    Message("signal", "units_moved", (plain_json(json.dumps({"ticks": [dict.fromkeys("abcdefghij", 1)] * 10_000})),)),
    Message("signal", "set_unit_size", (plain_json(f'{{"unit_size": "{"1" * 1_800_000}"}}'),)),
    Message("update", "set_unit_size", (plain_json(f'{{"unit_size": "1e{"9" * 18}"}}'),)),
    Message("update", "set_unit_size", (plain_json(f'{{"unit_size": "1e-{"9" * 18}"}}'),)),
    Message("signal", "pause", (plain_json('{"reason": "\\u0000\\ud800"}'),)),
    Message("signal", "pause", (plain_json(b'{"reason": "\xff\xfe"}'),)),
    Message("signal", "close", (plain_json("{"),)),
    Message("signal", "close", (({}, b"{}"),)),
    Message("signal", "close", (({"encoding": b"\xff"}, b"{}"),)),
    Message("signal", "close", (plain_json('{"x": ' * 5_000 + "1" + "}" * 5_000),)),
    Message("signal", "__temporal_workflow_metadata", (plain_json("{}"),)),
    Message("query", "__stack_trace", (plain_json("{}"),)),
    Message("update", "__temporal_update", (plain_json("{}"),)),
    walking_message(),
)

COMMANDS = (
    "pause",
    "resume",
    "set_unit_size",
    "edit",
    "adopt",
    "rehedge",
    "was_away",
    "units_moved",
    "granted",
    "review",
)
ENDING = ("close", "stop", "release", "leave")
"""Taken, they would end the trade: these get only what can't be taken."""
ENCODINGS = (b"json/plain", b"json/protobuf", b"binary/plain", b"binary/null", b"binary/protobuf", b"binary/encrypted")

texts = st.text(max_size=30)
numbers = st.one_of(
    st.integers(), st.floats(), st.sampled_from(("NaN", "Infinity", "1e400", "-0", "1e-400", "0x10", "3,5", "9" * 400))
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)
ticks = st.fixed_dictionaries(
    {"price": st.one_of(values, st.decimals(3440, 3460, places=1).map(str)), "time_ms": st.one_of(values, st.just(1))},
    optional={"size": values},
)
no_limits = st.one_of(
    st.none(), st.lists(values), st.sampled_from(("NaN", "Infinity", "-1", 0, -0.5, "1e400", "9" * 400, "0x10"))
)
"""What would be a limit could end the trade, as it should."""
NO_LIMITS = dict.fromkeys(
    ("max_drawdown", "max_loss_usd", "stop_price", "take_profit", "max_orders_per_day"), no_limits
)
steps = st.lists(st.fixed_dictionaries({"sell_long": values, "open_short": values}), max_size=6)
changes = st.fixed_dictionaries(
    {},
    optional={
        "unit_size": values,
        "leverage": values,
        "size": values,
        "expires_ms": st.one_of(values, st.integers(max_value=1)),
        "ladder": st.one_of(
            values,
            st.fixed_dictionaries({"name": values, "levels": values}),
            st.fixed_dictionaries({"name": texts, "fragment": numbers, "retracement": steps}),
        ),
        "limits": st.one_of(values, st.fixed_dictionaries({}, optional=NO_LIMITS)),
        "entry": st.one_of(values, st.fixed_dictionaries({"when": values, "price": values})),
        "backstop": st.one_of(values, st.fixed_dictionaries({"beyond": values})),
        "plan": st.one_of(values, st.fixed_dictionaries({"name": values, "version": values})),
        "at_reset": st.one_of(values, st.sampled_from(("cap", "keep", "relever"))),
        "unit_mode": values,
        "network": values,
    },
)
versions = changes.map(lambda changed: (plain_json(json.dumps({"input": OPENED | changed})),))
"""As it was opened but for these."""
fields = st.fixed_dictionaries(
    {},
    optional={
        "reason": values,
        "input": values,
        "unit_size": values,
        "ticks": st.one_of(values, st.lists(ticks, max_size=4)),
        "tid": values,
        "traceparent": values,
        "who": st.one_of(values, st.sampled_from(("worker", "feed", "exchange", "temporal"))),
        "from_ms": values,
        "to_ms": values,
        "version": values,
        "ask_id": values,
        "margin_usd": values,
        "refusal": values,
        "now": values,
        "profit_usd": values,
        "until_ms": values,
    },
)
jsons = st.one_of(fields, values).map(json.dumps)
raw_payloads = st.one_of(
    jsons.map(plain_json),
    st.binary(max_size=40).map(plain_json),
    st.tuples(
        st.dictionaries(
            st.sampled_from(("encoding", "messageType", "encryption-key-id", "other")),
            st.one_of(st.sampled_from(ENCODINGS), st.binary(max_size=10)),
        ),
        st.one_of(jsons.map(str.encode), st.binary(max_size=40)),
    ),
)
payload_lists = st.lists(raw_payloads, max_size=3).map(tuple)
never_taken = st.one_of(
    st.lists(raw_payloads, min_size=2, max_size=3).map(tuple),
    fields.map(lambda given: (plain_json(json.dumps(given | {"no such field": 1})),)),
    st.one_of(st.integers(), texts, st.lists(values)).map(lambda given: (plain_json(json.dumps(given)),)),
)
headers = st.lists(st.tuples(texts, st.binary(max_size=20)), max_size=2).map(tuple)
kinds = st.sampled_from(("signal", "signal", "update", "query"))
messages = st.one_of(
    st.builds(Message, kinds, st.sampled_from(COMMANDS), payload_lists, headers),
    st.builds(Message, st.sampled_from(("signal", "update")), st.just("edit"), versions),
    st.builds(Message, kinds, st.sampled_from(ENDING), never_taken, headers),
    st.builds(Message, kinds, st.text(max_size=20).map(lambda name: f"?{name}"), payload_lists, headers),
)


async def test_what_was_made_to_break_it_does_not(target: Target) -> None:
    await target.ready()
    await asyncio.gather(*(send(target.rig, message) for message in HARD))
    await target.assert_it_goes_on()


@pytest.mark.timeout(240 + 5 * EXAMPLES)
@settings(
    max_examples=EXAMPLES or 10,
    derandomize=not EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
@given(batch=st.lists(messages, min_size=15, max_size=30))
async def test_whatever_is_sent_the_trade_goes_on(target: Target, batch: list[Message]) -> None:
    await target.ready()
    await asyncio.gather(*(send(target.rig, message) for message in batch))
    await target.assert_it_goes_on()
