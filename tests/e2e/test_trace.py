"""One trace from the price at the feed's socket to the order's HTTP call, through signal, decision and activity."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CHAIN = ("feed.price", "feed.signal", "workflow.decision", "activity.execute_order", "POST /exchange order")


def test_every_order_after_the_opening_is_traced_back_to_its_price(tmp_path: Path) -> None:
    trace_file = tmp_path / "spans.jsonl"
    demo = subprocess.run(
        [sys.executable, "-m", "cli.main", "--trace-file", str(trace_file), "demo", "--json"],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert demo.returncode == 0, demo.stderr
    spans = {span["span_id"]: span for span in map(json.loads, trace_file.read_text().splitlines())}
    traced = [span for span in spans.values() if span["name"] == CHAIN[-1] and span["parent_span_id"] in spans]
    chains = [_names_up(spans, span) for span in traced]
    complete = [chain for chain in chains if chain == list(CHAIN)]
    decisions = json.loads(demo.stdout)["decisions"]
    assert len(complete) == len([decision for decision in decisions if decision["order_cloid"]])
    for span in traced:
        assert {each["trace_id"] for each in _up(spans, span)} == {span["trace_id"]}


def _up(spans: dict[str, dict[str, Any]], span: dict[str, Any]) -> list[dict[str, Any]]:
    chain = [span]
    while (parent := spans.get(chain[-1]["parent_span_id"])) is not None:
        chain.append(parent)
    return chain[::-1]


def _names_up(spans: dict[str, dict[str, Any]], span: dict[str, Any]) -> list[str]:
    return [each["name"] for each in _up(spans, span)]
