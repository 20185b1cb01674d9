"""The questions of `plan new`. Each answer is checked at once, with all that was given before it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

import typer

from cli.errors import BadOption
from cli.plan_market import Market
from plans.files import ENDINGS, BadPlanError, plan_of, read_data
from plans.plan import FIBONACCI_DRAWDOWN_MAX, NAMED, TradingPlan
from strategy.values import plain

Draft = dict[str, Any]
NONE = "none"
UNIT_SHARES = {"levels": Decimal("0.005"), "ladder": Decimal("0.01")}
"""Of the price: units that are several round trips of costs."""
_OTHERWISE: Draft = {"name": "new", "coin": "ETH", "size": {"margin_usd": 1}, "unit_size": 1, "strategy": "v6"}
"""Stands in for what is not answered yet."""


@dataclass(frozen=True, slots=True)
class Question:
    option: str
    """Its name on the command line."""
    text: str
    fields: Callable[[str], Draft]
    """What an answer means; raises BadPlanError."""
    default: Callable[[TradingPlan, Market], str] | str | None = None


def _under(group: str, field: str) -> Callable[[str], Draft]:
    """An answer to a field of a group; "none" leaves it out."""
    return lambda answer: {group: {} if answer == NONE else {field: answer}}


def _field(field: str) -> Callable[[str], Draft]:
    return lambda answer: {field: answer}


def _size(answer: str) -> Draft:
    kinds = {
        "margin": "margin_usd",
        "notional": "notional_usd",
        "risk": "risk_usd",
        "share": "portfolio_share",
        "portfolio": "portfolio",
    }
    words = answer.split()
    kind, given = words if len(words) == 2 else ("margin", answer)
    if kind not in kinds:
        raise BadPlanError(
            f"size is {answer}; an amount of USD, or {', '.join(kinds)} and an amount or a name are allowed"
        )
    return {"size": {kinds[kind]: given}}


def _strategy(answer: str) -> Draft:
    if answer in NAMED or not answer.lower().endswith(ENDINGS):
        return {"strategy": answer}
    return {"strategy": read_data(Path(answer))}


def _entry(answer: str) -> Draft:
    if answer == "now":
        return {"entry": {}}
    if answer.startswith("+"):
        return {"entry": {"when": "on_rise", "units": answer[1:]}}
    return {"entry": {"when": "at_price", "price": answer}}


def _max_drawdown(answer: str) -> Draft:
    """Left out it would be 23% of a Fibonacci hedge."""
    return {"limits": {"max_drawdown": "off" if answer == NONE else answer}}


def _unit_size(draft: TradingPlan, market: Market) -> str:
    """A share of the price, rounded up to one digit."""
    size = market.price * UNIT_SHARES["levels" if hasattr(draft.ladder, "levels") else "ladder"]
    step = Decimal(1).scaleb(size.adjusted())
    return f"{plain((size / step).to_integral_value(rounding=ROUND_CEILING) * step):f}"


def _drawdown(draft: TradingPlan, market: Market) -> str:
    return f"{FIBONACCI_DRAWDOWN_MAX}" if hasattr(draft.ladder, "levels") else NONE


NAME = Question("name", "Name of the plan", _field("name"))
COIN = Question("coin", "Coin", _field("coin"))
QUESTIONS = (
    Question("strategy", f"Strategy: {', '.join(NAMED)}, or a file of one", _strategy, "v6"),
    Question("leverage", "Leverage", _field("leverage"), "1"),
    Question("unit-size", "Unit, USD of price", _field("unit_size"), _unit_size),
    Question("size", "Size, USD of margin; or: notional 3000, risk 50, share 0.2, portfolio main", _size, "100"),
    Question("entry", "Entry: now, at a price such as 3300, or after a rise of units such as +5", _entry, "now"),
    Question("take-profit", "Take profit, as a share of the margin", _under("exit", "take_profit"), NONE),
    Question("stop-price", "Stop price", _under("exit", "stop_price"), NONE),
    Question("expires", "Expires, such as 2027-01-31T00:00Z", _under("exit", "expires"), NONE),
    Question("max-drawdown", "Most drawdown, as a share of the highest equity", _max_drawdown, _drawdown),
    Question("max-loss", "Most to lose, USD", _under("limits", "max_loss_usd"), NONE),
    Question("max-position", "Largest position, USD", _under("limits", "max_position_usd"), NONE),
    Question("max-orders", "Most orders a day", _under("limits", "max_orders_per_day"), NONE),
    Question(
        "backstop",
        "Stop on the exchange, as a share of the price beyond the last level",
        lambda answer: {} if answer == NONE else {"backstop": {"beyond": answer}},
        NONE,
    ),
)


class Interview:
    """Answers, from options where they were given. Without `ask` the others are the defaults."""

    def __init__(self, given: Mapping[str, str], *, ask: bool) -> None:
        self._given, self._ask = given, ask
        self._draft: Draft = {}

    def put(self, question: Question, market: Market | None = None) -> str:
        """The answer that was taken. Raises BadOption for an option that is wrong, or missing where nobody is asked."""
        default = question.default
        if callable(default):
            assert market is not None
            default = default(self.plan(), market)
        option = f"--{question.option}"
        if question.option in self._given or not self._ask:
            answer = self._given.get(question.option, default)
            if answer is None:
                raise BadOption(f"{option} is missing: {question.text}")
            try:
                return self._take(question, answer)
            except BadPlanError as error:
                raise BadOption(f"{option}: {error}") from error
        while True:
            answer = typer.prompt(question.text, default=default, err=True)
            try:
                return self._take(question, answer)
            except BadPlanError as error:
                typer.echo(f"  {error}", err=True)

    def again(self, question: Question, why: object) -> None:
        """The answer turned out wrong: it is asked for once more, or raises BadOption where it can't be."""
        if question.option in self._given or not self._ask:
            raise BadOption(f"--{question.option}: {why}")
        typer.echo(f"  {why}", err=True)

    def set(self, **fields: Any) -> None:
        self._draft = self._draft | fields

    def plan(self) -> TradingPlan:
        """As far as it is answered."""
        return plan_of(_OTHERWISE | self._draft)

    def _take(self, question: Question, answer: str) -> str:
        answer = answer.strip()
        draft = dict(self._draft)
        for field, value in question.fields(answer).items():
            before = draft.get(field)
            draft[field] = before | value if isinstance(before, dict) and isinstance(value, dict) else value
        plan_of(_OTHERWISE | draft)
        self._draft = draft
        return answer
