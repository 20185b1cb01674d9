"""Write the sample of `plan show` in docs/plans.md anew: `python -m docs.samples`."""

from decimal import Decimal
from io import StringIO
from pathlib import Path

from rich.console import Console

from cli.plan_market import EXPECTED_SLIPPAGE_BPS, known_market, previewed
from cli.plan_screen import plan_screen
from plans.files import from_yaml, plan_of
from plans.plan import TradingPlan
from strategy.values import ZERO

PAGE = Path(__file__).with_name("plans.md")
PRICE, HIGH = Decimal(3000), Decimal(3600)
WIDTH = 100


def between(text: str, name: str) -> str:
    """What stands between the markers of this name."""
    return text.split(f"<!-- {name}: begin -->\n")[1].split(f"<!-- {name}: end -->")[0]


def example(text: str) -> TradingPlan:
    return plan_of(from_yaml(between(text, "plan").replace("```yaml\n", "").replace("```\n", "")))


def with_sample(text: str) -> str:
    """The page with what `plan show` prints of its plan."""
    plan = example(text)
    market = known_market(plan.coin, PRICE)
    seen = previewed(plan, market, ZERO, slippage_bps=EXPECTED_SLIPPAGE_BPS, high_price=HIGH)
    out = StringIO()
    Console(file=out, width=WIDTH, highlight=False).print(plan_screen(plan, seen, market.source))
    shown = "\n".join(line.rstrip() for line in out.getvalue().splitlines())
    marks = between(text, "show")
    begin = "<!-- show: begin -->\n"
    return text.replace(f"{begin}{marks}", f"{begin}```\n{shown}\n```\n")


if __name__ == "__main__":
    PAGE.write_text(with_sample(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
