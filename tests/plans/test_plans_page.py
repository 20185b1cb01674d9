"""docs/plans.md: what it prints is printed, what it reckons is reckoned, what it lists is there."""

import re
from decimal import Decimal

from docs.samples import PAGE, PRICE, example, with_sample
from plans.plan import EntryRule, ExitRule, RiskLimits, Size, TradingPlan
from plans.preview import preview
from plans.sizing import margin_for
from plans.worst import loss_per_usd
from strategy.checks import Proposal
from strategy.ladder import V6, V7
from tests.plans.proposals import COSTS, asked

TEXT = PAGE.read_text(encoding="utf-8")


def of_the_example() -> Proposal:
    plan = example(TEXT)
    return asked(
        leverage=plan.leverage,
        unit_size=plan.unit_size,
        ladder=plan.ladder,
        limits=plan.trade_limits,
        price=PRICE,
        **COSTS,
    )


def test_the_sample_is_what_plan_show_prints() -> None:
    assert with_sample(TEXT) == TEXT, "run: python -m docs.samples"


def test_what_is_read_from_the_sample_is_in_it() -> None:
    plan = of_the_example().model_copy(update={"margin_usd": Decimal("2123.85"), "lot": Decimal("0.0001")})
    rows = {row.price: row for row in preview(plan, high_price=Decimal(3600)).rows[1:]}
    given_back = rows[Decimal(3600)].change_usd - rows[Decimal(3450)].change_usd
    assert f"gives back {given_back:.2f} USD of {600 * rows[Decimal(3600)].long:.2f}" in TEXT
    assert f"ahead by {rows[Decimal(3000)].change_usd:.2f} USD" in " ".join(TEXT.split())


def test_the_margin_of_the_example_follows_from_its_formula() -> None:
    p, u, c, d = PRICE, Decimal(15), Decimal("0.00055"), Decimal("0.23")
    p_out = p - (d - c) * p - u
    loss = d + u / p + c * p_out / p
    assert f"p_out = {p_out:.2f}" in TEXT and f"= {loss:.4f}." in TEXT
    assert abs(loss_per_usd(of_the_example()) - loss) < Decimal("1e-12")
    margin_usd = margin_for(example(TEXT).size, of_the_example(), Decimal(0))
    assert f"a margin of {margin_usd:,.2f} USD" in TEXT


def test_the_formula_of_a_stop_is_what_is_reckoned() -> None:
    p, u, c, s = PRICE, Decimal(15), Decimal("0.00055"), Decimal(2800)
    stopped = of_the_example().model_copy(
        update={"limits": example(TEXT).trade_limits.model_copy(update={"stop_price": s})}
    )
    assert abs(loss_per_usd(stopped) - ((p - s + u) + c * (p + s - u)) / p) < Decimal("1e-12")


def test_the_shares_that_ladders_lose_are_those_of_the_page() -> None:
    said = re.search(r"v6 loses ([\d.]+)% .* v7 ([\d.]+)%. That is ([\d.]+) and ([\d.]+) units", TEXT, re.DOTALL)
    assert said is not None
    lost = [100 * loss_per_usd(asked(ladder=ladder)) for ladder in (V6, V7)]
    assert list(said.groups()) == [f"{loss:.1f}" for loss in lost] + [f"{loss / 10:.1f}" for loss in lost]


def test_every_field_is_on_the_page() -> None:
    for model in (TradingPlan, Size, EntryRule, ExitRule, RiskLimits):
        assert [name for name in model.model_fields if name not in TEXT] == []
    rows = re.findall(r"^\| `(\w+)` \|", TEXT.split("## The fields")[1].split("**`entry`**")[0], re.MULTILINE)
    assert rows == list(TradingPlan.model_fields)
