import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from plans.files import BadPlanError, dumped, from_yaml, plan_of, read_plan, schema
from plans.plan import EntryRule, ExitRule, RiskLimits, Size, TradingPlan, When
from plans.store import PlanStore
from strategy.fibonacci import FIBONACCI
from strategy.ladder import V7
from tests.strategy.trading import PATIENT, strategies

PLAN = """
name: eth-hedge
coin: ETH
size: {margin_usd: 1000.10}
leverage: 1
unit_size: 0.1
strategy: fibonacci
"""
FULL = """
name: eth-ladder
version: 3
coin: ETH
size: {risk_usd: 50}
leverage: 3
unit_size: 30
strategy:
  name: gentle
  fragment: 0.05
  retracement:
    - {sell_long: 1, open_short: 1}
    - {sell_long: rest, open_short: same}
  hedge_fragment: 0.5
  cover_from: 2
  cover_rest_at: 4
  sweep_at: 5
unit_mode: grid
at_reset: keep
entry: {when: at_price, price: 3300, not_before: 2026-01-01T00:00:00Z}
exit: {take_profit: 0.5, stop_price: 2900, expires: 2026-12-31T00:00:00Z}
limits: {max_drawdown: off, max_loss_usd: 80, max_position_usd: 9000, max_leverage: 5, max_orders_per_day: 40}
backstop: {beyond: 0.02}
accepts_costs: yes
"""


def fields(**changes: Any) -> dict[str, Any]:
    return {**from_yaml(PLAN), **changes}


def written(folder: Path, text: str, name: str = "plan.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_number_is_what_was_written_and_off_is_not_false(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path, FULL))
    assert plan.size == Size(risk_usd=Decimal(50))
    assert plan.limits.max_drawdown == "off"
    assert plan.accepts_costs
    assert plan.entry == EntryRule(when=When.AT_PRICE, price=Decimal(3300), not_before=datetime(2026, 1, 1, tzinfo=UTC))
    assert plan.trade_limits.max_drawdown is None
    digits = "0.1000000000000000055511151231257827"
    assert read_plan(written(tmp_path, PLAN.replace("0.1\n", f"{digits}\n"))).unit_size == Decimal(digits)


def test_json_and_yaml_say_the_same(tmp_path: Path) -> None:
    text = json.dumps(yaml.safe_load(PLAN))
    assert read_plan(written(tmp_path, text, "plan.json")) == read_plan(written(tmp_path, PLAN))


@pytest.mark.parametrize("text", [PLAN, FULL])
def test_what_is_written_is_read_back_by_us_by_any_reader_of_yaml_and_by_the_schema(text: str) -> None:
    plan = plan_of(from_yaml(text))
    assert plan_of(from_yaml(dumped(plan))) == plan
    plainly = yaml.safe_load(dumped(plan))
    assert TradingPlan.model_validate(plainly) == plan
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(plainly, schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(plainly | {"unit_size": -1}, schema())


@PATIENT
@given(strategies(), st.decimals("0.000000000001", "1e12", places=12))
def test_every_strategy_comes_back_from_its_file(strategy: Any, unit_size: Decimal) -> None:
    plan = plan_of(fields(strategy=strategy, unit_size=unit_size))
    assert plan_of(from_yaml(dumped(plan))) == plan


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": {"margin_usd": "-5"}}, "size.margin_usd is -5: it must be greater than 0"),
        ({"leverage": "2.5"}, "leverage is 2.5: it must be a valid integer"),
        ({"unit_size": "much"}, "unit_size is much: it must be a valid decimal"),
        ({"unit_size": "NaN"}, "unit_size is NaN: it must be a finite number"),
        ({"levrage": "3"}, "levrage is 3: there is no such field"),
        ({"size": {}}, "size: nothing is given; exactly one of margin_usd, notional_usd"),
        ({"strategy": "v9"}, "strategy is v9; v6, v7, fibonacci or one written out is allowed"),
        ({"limits": {"max_drawdown": "2"}}, "limits.max_drawdown is 2: it must be less than or equal to 1 or be 'off'"),
        ({"entry": {"when": "at_price"}}, "entry: price is missing; when is at_price"),
        ({"strategy": {"name": "a", "levels": [{"at": "0.3", "long": "0", "short": "2"}]}},
         "strategy.levels.0.short is 2: it must be less than or equal to 1"),
        ({"strategy": {**V7.model_dump(mode="json"), "cover_from": "9"}}, "strategy: recovery heights must rise"),
        ({"strategy": {**FIBONACCI.model_dump(mode="json"), "release": "0.5"}}, "strategy: release is 0.5; it must be"),
        ({"exit": {"expires": "2026-12-31"}}, "exit.expires is 2026-12-31: it must have timezone info"),
        ({"exit": {"expires": "120"}}, "exit.expires: 120 is no time; one such as 2027-01-31T00:00Z is needed"),
        ({"entry": {"not_before": 120.5}}, "entry.not_before: 120.5 is no time"),
        ({"exit": {"stop_price": "110"}, "entry": {"when": "at_price", "price": "100"}}, "exit.stop_price is 110; it"),
        ({"leverage": "3", "limits": {"max_leverage": "2"}}, "leverage is 3; limits.max_leverage allows 2"),
        ({"name": "../etc"}, "name is ../etc: it must match pattern"),
    ],
)  # fmt: skip
def test_a_refusal_is_one_line_with_field_value_and_what_is_allowed(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadPlanError) as refused:
        plan_of(fields(**changes))
    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(BadPlanError, match=r"^coin is missing; size is missing; unit_size is 0: .*; strategy is miss"):
        plan_of({"name": "a", "unit_size": "0"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PLAN + "coin: BTC\n", "coin is given twice; once is allowed"),
        ("- a list", "it holds list; a plan is fields and values"),
        ("", "it holds nothing"),
        ("a: [b", "is not a plan: while parsing"),
        ("[" * 600, "is not a plan: maximum recursion"),
        ("#" * 100_001, "is longer than 100000 bytes"),
    ],
)
def test_a_file_that_is_no_plan_is_refused_by_its_name(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(BadPlanError) as refused:
        read_plan(path)
    assert str(refused.value).startswith(f"{path}: {said}")
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPlanError, match=r"nowhere.yaml: can't be read: No such file"):
        read_plan(tmp_path / "nowhere.yaml")
    with pytest.raises(BadPlanError, match=r"its name ends in \.txt; \.yaml or \.yml or \.json can be read"):
        read_plan(tmp_path / "plan.txt")


@pytest.mark.parametrize("twice", ['{"name": "a", "name": "b"}', '{"size": {"margin_usd": 1, "margin_usd": 2}}'])
def test_json_with_a_field_given_twice_is_refused(tmp_path: Path, twice: str) -> None:
    with pytest.raises(BadPlanError, match="is given twice"):
        read_plan(written(tmp_path, twice, "plan.json"))


def test_a_changed_plan_is_the_next_version_and_an_unchanged_one_is_none(tmp_path: Path) -> None:
    store, plan = PlanStore(tmp_path / "plans"), plan_of(fields())
    assert (store.names(), store.versions("eth-hedge")) == ([], [])
    assert store.save(plan).version == 1
    assert store.save(plan).version == 1
    larger = plan.model_copy(update={"leverage": 2, "version": 9})
    assert store.save(larger).version == 2
    assert store.save(plan).version == 3
    assert (store.numbered(plan).version, store.numbered(larger).version) == (3, 4)
    assert (store.names(), store.versions("eth-hedge")) == (["eth-hedge"], [1, 2, 3])
    assert store.read("eth-hedge").leverage == 1
    assert store.read("eth-hedge", 2) == larger.model_copy(update={"version": 2})
    assert sorted(path.name for path in (tmp_path / "plans" / "eth-hedge").iterdir()) == [
        f"{n}.yaml" for n in (1, 2, 3)
    ]
    store.withdraw(store.read("eth-hedge"))
    assert (store.versions("eth-hedge"), store.save(larger.model_copy(update={"leverage": 3})).version) == ([1, 2], 3)


def test_a_version_that_another_process_took_meanwhile_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, mine = PlanStore(tmp_path), plan_of(fields(leverage="2"))
    theirs, looked = plan_of(fields(leverage="3")), store.versions

    def before_them(name: str) -> list[int]:
        seen = looked(name)
        if not seen:
            PlanStore(tmp_path).save(theirs)
        return seen

    monkeypatch.setattr(store, "versions", before_them)
    assert store.save(mine).version == 2
    assert (store.read(mine.name, 1).leverage, store.read(mine.name, 2).leverage) == (3, 2)


def test_what_is_not_kept_is_refused_with_what_is(tmp_path: Path) -> None:
    store = PlanStore(tmp_path)
    with pytest.raises(BadPlanError, match="plan sol is not kept here; these are: none yet"):
        store.read("sol")
    store.save(plan_of(fields()))
    with pytest.raises(BadPlanError, match="plan sol is not kept here; these are: eth-hedge"):
        store.read("sol")
    with pytest.raises(BadPlanError, match="version is 4; of plan eth-hedge these are kept: 1"):
        store.read("eth-hedge", 4)


def test_a_hedge_has_a_drawdown_limit_unless_it_is_off() -> None:
    assert plan_of(fields()).trade_limits.max_drawdown == Decimal("0.23")
    assert plan_of(fields(strategy="v6")).trade_limits.max_drawdown is None
    given = plan_of(fields(limits=RiskLimits(max_drawdown=Decimal("0.4")), exit=ExitRule(take_profit=Decimal(1))))
    assert (given.trade_limits.max_drawdown, given.trade_limits.take_profit) == (Decimal("0.4"), 1)
