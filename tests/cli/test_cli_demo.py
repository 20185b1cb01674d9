"""`hypertrader demo --json`: one whole cycle, one JSON object, nothing left behind."""

import json
import os
from decimal import Decimal
from pathlib import Path

from tests.cli.conftest import hypertrader_process
from tests.cli.test_cli_up import processes_in


async def test_the_demo_runs_a_whole_cycle_and_its_ledger_is_the_exchanges(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("HYPERTRADER_")}
    finished = await hypertrader_process("demo", "--json", env=env | {"TMPDIR": str(tmp_path)})
    assert finished.code == 0, finished.err
    shown = json.loads(finished.out)
    assert shown["ok"] is True

    decisions = shown["decisions"]
    assert list(dict.fromkeys(each["phase"] for each in decisions)) == ["ADVANCE", "RETRACEMENT", "DECLINE", "RECOVERY"]
    assert {each["cycle"] for each in decisions} == {1, 2}
    for each in decisions:
        bought = sum(Decimal(qty) for action, qty in each["legs"] if action in ("cover_short", "buy_long"))
        sold = sum(Decimal(qty) for action, qty in each["legs"] if action in ("sell_long", "open_short"))
        assert Decimal(each["order_qty"]) == bought - sold
        assert (each["order_cloid"] is None) == (each["fill_average"] is None)
        if each["fill_average"]:
            assert abs(Decimal(each["fill_average"]) - Decimal(each["price"])) < 1

    ledger, exchange = shown["ledger"], shown["exchange"]
    assert Decimal(exchange["net_position"]) == Decimal(ledger["long"]) - Decimal(ledger["short"])
    assert exchange["accepted_orders"] == exchange["order_requests"]
    # The opening has no decision of its own.
    assert exchange["accepted_orders"] == 1 + sum(each["order_cloid"] is not None for each in decisions)
    earned = Decimal(exchange["account_value"]) - Decimal(exchange["deposits"])
    assert abs(earned - (Decimal(ledger["equity"]) - 1000)) < Decimal("0.01")

    assert os.listdir(tmp_path) == []
    assert processes_in(tmp_path) == []
