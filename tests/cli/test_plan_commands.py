"""`hypertrader plan`: written, kept, checked and shown. No stack runs; the exchange is a simulator in this process."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest

from plans.files import read_plan
from plans.plan import EntryRule, ExitRule, RiskLimits, Size, When
from simulator.server import Simulator, SimulatorConfig
from strategy.ladder import V6
from tests.cli.conftest import Finished, hypertrader

NEW = ("plan", "new", "--defaults", "--price", "100")
EXAMPLE = {"--name": "example", "--coin": "ETH", "--strategy": "fibonacci", "--size": "10000", "--unit-size": "0.5"}


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"HYPERTRADER_STATE_DIR": str(tmp_path / "state")}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    simulator = Simulator(SimulatorConfig(funded={"0x" + "ab" * 20: Decimal(5000)}))
    await simulator.start()
    yield simulator
    await simulator.stop()


async def new(env: dict[str, str], *more: str, **changes: str) -> Finished:
    options = EXAMPLE | {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
    return await hypertrader(*NEW, *(word for pair in options.items() for word in pair), *more, env=env)


async def test_every_answer_by_option_writes_the_plan_it_says(env: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "full.yaml"
    done = await new(
        env,
        *("--output", str(path), "--yes"),
        strategy="v6",
        unit_size="2",
        leverage="3",
        size="risk 50",
        entry="95",
        take_profit="0.5",
        stop_price="70",
        expires="2030-01-31T00:00Z",
        max_drawdown="0.3",
        max_loss="80",
        max_position="900",
        max_orders="40",
        backstop="0.02",
    )
    assert done.code == 0, done.err
    plan = read_plan(path)
    assert (plan.name, plan.coin, plan.leverage, plan.ladder, plan.accepts_costs) == ("example", "ETH", 3, V6, True)
    assert plan.size == Size(risk_usd=Decimal(50))
    assert plan.entry == EntryRule(when=When.AT_PRICE, price=Decimal(95))
    assert plan.exit == ExitRule.model_validate({"take_profit": "0.5", "stop_price": 70, "expires": plan.exit.expires})
    assert plan.limits == RiskLimits.model_validate(
        {"max_drawdown": "0.3", "max_loss_usd": 80, "max_position_usd": 900, "max_orders_per_day": 40}
    )
    assert plan.backstop is not None and plan.backstop.beyond == Decimal("0.02")
    assert not (tmp_path / "state").exists()
    again = await new(env, "--output", str(path))
    assert (again.code, again.error) == (2, f"--output is {path}; it can't be written: File exists")


async def test_each_answer_is_checked_at_once_and_asked_again(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [
        *("Bad Name", "asked", "SOL", "v9", "fibonacci", "0", "1", "", "lots 3", "risk 100", "+0", "+5"),
        *("none", "150", "soon", "none", "off", "30", "", "", ""),
    ]
    monkeypatch.setattr("sys.stdin", StringIO("\n".join(answers) + "\n"))
    done = await hypertrader("plan", "new", "--price", "200", env=env)
    assert done.code == 0, done.err
    for said in (
        "name is Bad Name: it must match pattern",
        "strategy is v9; v6, v7, fibonacci or one written out is allowed",
        "leverage is 0: it must be greater than 0",
        "size is lots 3; an amount of USD, or margin, notional, risk, share, portfolio and an amount or a name are",
        "entry.units is 0: it must be greater than 0",
        "exit.expires is soon: it must be a valid datetime",
    ):
        assert said in done.err
    plan = read_plan(Path(env["HYPERTRADER_STATE_DIR"]) / "plans" / "asked" / "1.yaml")
    assert (plan.unit_size, plan.size, plan.limits.max_drawdown) == (1, Size(risk_usd=Decimal(100)), "off")
    assert (plan.entry.units, plan.exit.stop_price, plan.limits.max_loss_usd) == (5, 150, 30)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"leverage": "x"}, "--leverage: leverage is x: it must be a valid integer"),
        ({"strategy": "nowhere.yaml"}, "--strategy: nowhere.yaml: can't be read: No such file"),
        ({"stop_price": "110", "entry": "105"}, "--stop-price: exit.stop_price is 110; it must be below entry.price"),
        ({"name": ""}, "--name is missing: Name of the plan"),
        ({"output": "plan.txt"}, "--output is plan.txt; its name must end in .yaml or .yml"),
    ],
)
async def test_an_option_that_is_wrong_is_one_line_and_nothing_is_kept(
    env: dict[str, str], changes: dict[str, str], said: str
) -> None:
    done = await new(env, **changes)
    assert (done.code, done.out) == (2, "")
    assert done.error.startswith(said)
    assert (await hypertrader("plan", "list", env=env)).out.startswith("no plan is kept")


async def test_what_is_shown_says_where_each_level_lies_and_acts_and_states_every_limit(env: dict[str, str]) -> None:
    await new(env)
    shown = await hypertrader("plan", "show", "example", "--price", "100", "--high", "120", env=env)
    lines = [line.split() for line in shown.out.splitlines()]
    for row in (["115", "115.4", "-100"], ["112", "112.4", "-25"], ["110", "110", "-25"]):
        assert any(line[:3] == row for line in lines)
    assert ["112", "25", "50", "2,786.64", "11,486.64", "█" * 6 + "▒" * 12 + "░" * 6] in lines
    for said in (
        "drawdown 23% of the highest equity, no loss limit, no position limit",
        "no take profit, no stop price, never expires",
        "worst loss   2,354.21 USD: a fall before it is armed to max_drawdown at 77.055, closed at 76.555",
        "liquidation  none of a long at 1x",
    ):
        assert said in shown.out
    exact = await hypertrader("plan", "show", "example", "--price", "100", "--high", "120", "--json", env=env)
    rows = json.loads(exact.out)["preview"]["rows"]
    assert [(row["price"], row["level_price"]) for row in rows[2:5]] == [
        ("115", "115.4"),
        ("112", "112.4"),
        ("110", "110"),
    ]


async def test_a_plan_that_waits_for_a_price_is_shown_at_that_price(env: dict[str, str], sim: Simulator) -> None:
    await new(env, entry="95")
    live = env | {"HYPERTRADER_EXCHANGE_URL": sim.url}
    shown = await hypertrader("plan", "show", "example", "--json", env=live)
    assert json.loads(shown.out)["preview"]["price"] == "95"


async def test_what_would_be_refused_is_said_with_the_preview(env: dict[str, str]) -> None:
    done = await new(env, strategy="v6", leverage="10", unit_size="2")
    assert done.code == 0
    assert "at this price it would be refused: leverage is 10: liquidation at 91.836735 lies inside" in " ".join(
        done.out.split()
    )


async def test_the_exchange_tells_price_lot_and_leverage_and_what_is_free(env: dict[str, str], sim: Simulator) -> None:
    live = env | {"HYPERTRADER_EXCHANGE_URL": sim.url, "HYPERTRADER_ACCOUNT": "0x" + "ab" * 20}
    options = ("--name", "live", "--coin", "eth/USDC:USDC", "--size", "share 0.1", "--unit-size", "40", "--defaults")
    done = await hypertrader("plan", "new", *options, "--json", env=live)
    assert done.code == 0, done.err
    seen = json.loads(done.out)
    assert (seen["plan"]["coin"], seen["preview"]["margin_usd"], seen["preview"]["price"]) == ("ETH", "500", "3450")
    unlisted = await hypertrader("plan", "new", "--name", "a", "--coin", "ETHX", "--defaults", env=live)
    assert (unlisted.code, unlisted.error.split(":")[0]) == (2, "--coin")
    nobody = await hypertrader("plan", "show", "live", env=env | {"HYPERTRADER_EXCHANGE_URL": "http://127.0.0.1:9"})
    assert (nobody.code, nobody.error.split(";")[-1]) == (1, " or give --price, and nothing is asked")


async def test_versions_are_listed_and_an_older_one_can_be_shown(env: dict[str, str]) -> None:
    assert (await hypertrader("plan", "list", env=env)).out.startswith("no plan is kept")
    await new(env)
    await new(env, size="notional 2000")
    await new(env, size="notional 2000")
    listed = json.loads((await hypertrader("plan", "list", "--json", env=env)).out)
    assert listed == [{"name": "example", "versions": [1, 2], "coin": "ETH", "strategy": "fibonacci"}]
    assert "example" in (await hypertrader("plan", "list", env=env)).out
    first = await hypertrader("plan", "show", "example", "--version", "1", "--price", "100", "--json", env=env)
    assert json.loads(first.out)["plan"]["size"]["margin_usd"] == "10000"
    missing = await hypertrader("plan", "show", "example", "--version", "7", "--price", "100", env=env)
    assert (missing.code, missing.error) == (1, "version is 7; of plan example these are kept: 1, 2")


async def test_a_file_is_ok_or_one_line_and_exit_code_1(env: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    await new(env, "--output", str(path))
    assert (await hypertrader("plan", "validate", str(path), env=env)).out == "ok\n"
    path.write_text(path.read_text("utf-8").replace("leverage: 1", "leverage: 0"), "utf-8")
    refused = await hypertrader("plan", "validate", str(path), env=env)
    assert (refused.code, refused.error) == (1, f"{path}: leverage is 0: it must be greater than 0")
    told = await hypertrader("plan", "validate", str(path), "--json", env=env)
    assert (told.code, json.loads(told.out)["ok"]) == (1, False)


async def test_a_share_of_what_is_free_needs_to_know_what_is_free(env: dict[str, str]) -> None:
    refused = await new(env, size="share 0.5")
    assert refused.code == 1
    assert refused.error.startswith("the plan takes a share of what is free: give --free (there is no key in")
    refused = await new(env, size="portfolio main")
    assert refused.error.startswith("portfolio main gives the margin: give --free (there is no key in")
    shown = await new(env, "--free", "3000", size="portfolio main")
    assert "what portfolio main gives; the figures are for 3,000.00 USD" in shown.out
    done = await new(env, "--free", "3000", "--json", size="share 0.5")
    assert json.loads(done.out)["preview"]["margin_usd"] == "1500"


async def test_the_schema_is_json(env: dict[str, str]) -> None:
    assert json.loads((await hypertrader("plan", "schema", env=env)).out)["title"] == "TradingPlan"
