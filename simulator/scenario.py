"""Scenario files: a path of prices written by hand, in YAML or JSON.

    step_s: 0.25            # optional, seconds between prints; default 0.25; a coin may have its own
    start: paused           # optional, `running` (default) or `paused`
    loop: true              # optional, default false: after its last point the path begins again
    coins:
      ETH:
        path:               # [seconds, price], straight lines between the points
          - [0, 3450]
          - [10, 3450]
          - [16, 3457]

The points themselves are always printed exactly as written; prices between them have five significant figures. A coin
whose path is shorter than the longest stands still until the loop begins again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from heapq import merge
from itertools import count, pairwise
from pathlib import Path
from typing import NoReturn

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from simulator.paths import Print, rounded_price
from simulator.prices import PriceSourceError

BUNDLED = Path(__file__).parent / "scenarios"
DEFAULT_STEP_S = Decimal("0.25")


@dataclass(frozen=True, slots=True)
class CoinPath:
    """One coin's turning points, (seconds, price), seconds rising from 0."""

    points: tuple[tuple[Decimal, Decimal], ...]
    step_s: Decimal

    @property
    def end_s(self) -> Decimal:
        return self.points[-1][0]

    def prints(self) -> Iterator[tuple[Decimal, Decimal]]:
        """(seconds, price) of every print of one pass, the first point included."""
        yield self.points[0]
        for (from_s, from_price), (to_s, to_price) in pairwise(self.points):
            for step in range(1, int((to_s - from_s) / self.step_s) + 1):
                at_s = from_s + step * self.step_s
                if at_s < to_s:
                    share = (at_s - from_s) / (to_s - from_s)
                    yield at_s, rounded_price(from_price + (to_price - from_price) * share)
            yield to_s, to_price


@dataclass(frozen=True, slots=True)
class Scenario:
    """A path as a scenario file describes it."""

    paths: dict[str, CoinPath]
    loop: bool = False
    start_paused: bool = False

    @property
    def coins(self) -> tuple[str, ...]:
        return tuple(self.paths)

    @property
    def length_s(self) -> float:
        """Seconds of one pass."""
        return float(max(path.end_s for path in self.paths.values()))

    def prices_at(self, position_s: float) -> dict[str, Decimal]:
        prices = {coin: path.points[0][1] for coin, path in self.paths.items()}
        passed_s = position_s % self.length_s if self.loop else position_s
        for elapsed_s, coin, price in self._one_pass():
            if elapsed_s > passed_s:
                break
            prices[coin] = price
        return prices

    def prints_after(self, position_s: float) -> Iterator[Print]:
        first_pass = int(position_s // self.length_s) if self.loop else 0
        passes = count(first_pass) if self.loop else range(1)
        for number in passes:
            begin_s = number * self.length_s
            for elapsed_s, coin, price in self._one_pass():
                if number > 0 and elapsed_s == 0 and price == self.paths[coin].points[-1][1]:
                    continue  # The end of a pass and the begin of the next are one moment, printed once.
                if begin_s + elapsed_s > position_s:
                    yield Print(begin_s + elapsed_s, coin, price)

    def _one_pass(self) -> Iterator[Print]:
        def prints(coin: str, path: CoinPath) -> Iterator[Print]:
            return (Print(float(at_s), coin, price) for at_s, price in path.prints())

        return merge(*(prints(coin, path) for coin, path in self.paths.items()), key=lambda each: each.elapsed_s)


def bundled_names() -> tuple[str, ...]:
    """Names of the scenarios that come with the simulator."""
    return tuple(sorted(path.stem for path in BUNDLED.glob("*.yaml")))


def load_scenario(file_or_name: str) -> Scenario:
    """Read a scenario file, or a bundled scenario by its name. PriceSourceError says what is wrong, and where."""
    path = Path(file_or_name)
    if file_or_name in bundled_names():
        path = BUNDLED / f"{file_or_name}.yaml"
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        names = ", ".join(bundled_names())
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise PriceSourceError(
            f"scenario is {file_or_name!r}: {reason}; allowed are a YAML or JSON file or one of: {names}"
        ) from error
    return parse_scenario(text, path.name)


def parse_scenario(text: str, name: str) -> Scenario:
    """Parse a scenario's text; `name` is what errors call it."""
    # JSON may be indented with tabs, which YAML forbids; inside JSON's strings a tab can't stand.
    source = text.replace("\t", " ") if name.endswith(".json") else text
    try:
        root = yaml.compose(source, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise PriceSourceError(f"{name} line {line}: not YAML or JSON: {error.problem}") from error
    except yaml.YAMLError as error:
        raise PriceSourceError(f"{name}: not YAML or JSON: {error}") from error
    if root is None:
        raise PriceSourceError(f"{name}: is empty; a mapping with `coins` is needed")
    return _Reader(name).scenario(root)


class _Reader:
    """Checks a scenario's nodes; every refusal names the file, the line, the field, the value and what is allowed."""

    def __init__(self, name: str) -> None:
        self._name = name

    def scenario(self, root: Node) -> Scenario:
        fields = self._mapping(root, "the file", ("coins", "step_s", "start", "loop"), needed="coins")
        step_s = self._step_s(fields.get("step_s"), "step_s", DEFAULT_STEP_S)
        start = self._one_of(fields.get("start"), "start", ("running", "paused"))
        loop = self._one_of(fields.get("loop"), "loop", ("false", "true"))
        coins = self._mapping(fields["coins"], "coins")
        if not coins:
            self._refuse(fields["coins"], "coins is empty: at least one coin with a path is needed")
        paths = {coin: self._coin(node, f"coins.{coin}", step_s) for coin, node in coins.items()}
        if loop == "true" and all(path.end_s == 0 for path in paths.values()):
            self._refuse(fields["loop"], "loop is true, but no path is longer than 0 s: a second point is needed")
        return Scenario(paths, loop=loop == "true", start_paused=start == "paused")

    def _coin(self, node: Node, field: str, step_s: Decimal) -> CoinPath:
        fields = self._mapping(node, field, ("path", "step_s"), needed="path")
        own_step_s = self._step_s(fields.get("step_s"), f"{field}.step_s", step_s)
        points = fields["path"]
        if not isinstance(points, SequenceNode) or not points.value:
            self._refuse(points, f"{field}.path is {_shown(points)}: a list of [seconds, price] is allowed")
        path = tuple(self._point(point, f"{field}.path[{index}]") for index, point in enumerate(points.value))
        if path[0][0] != 0:
            self._refuse(points.value[0], f"{field}.path[0]: seconds is {path[0][0]}: the first point stands at 0")
        for index, (before, after) in enumerate(pairwise(path), start=1):
            if after[0] <= before[0]:
                problem = f"seconds is {after[0]}: more than the point before, {before[0]}, is allowed"
                self._refuse(points.value[index], f"{field}.path[{index}]: {problem}")
        return CoinPath(path, own_step_s)

    def _point(self, node: Node, field: str) -> tuple[Decimal, Decimal]:
        if not isinstance(node, SequenceNode) or len(node.value) != 2:
            self._refuse(node, f"{field} is {_shown(node)}: [seconds, price] is allowed")
        seconds = self._number(node.value[0], f"{field}: seconds", "a number, 0 or more,")
        if seconds < 0:
            self._refuse(node.value[0], f"{field}: seconds is {seconds}: a number, 0 or more, is allowed")
        price = self._number(node.value[1], f"{field}: price", "a number above 0")
        if price <= 0:
            self._refuse(node.value[1], f"{field}: price is {price}: a number above 0 is allowed")
        return seconds, price

    def _step_s(self, node: Node | None, field: str, default: Decimal) -> Decimal:
        if node is None:
            return default
        allowed = "a number of seconds from 0.001 to 3600"
        step_s = self._number(node, field, allowed)
        if not Decimal("0.001") <= step_s <= 3600:
            self._refuse(node, f"{field} is {step_s}: {allowed} is allowed")
        return step_s

    def _number(self, node: Node, field: str, allowed: str) -> Decimal:
        try:
            number = Decimal(node.value) if isinstance(node, ScalarNode) else Decimal("nan")
        except InvalidOperation:
            number = Decimal("nan")
        if not number.is_finite():
            self._refuse(node, f"{field} is {_shown(node)}: {allowed} is allowed")
        return number

    def _one_of(self, node: Node | None, field: str, allowed: tuple[str, ...]) -> str:
        """The scalar as written; the first of `allowed` when it is not there."""
        if node is None:
            return allowed[0]
        if not isinstance(node, ScalarNode) or node.value.lower() not in allowed:
            self._refuse(node, f"{field} is {_shown(node)}: {' or '.join(allowed)} is allowed")
        return str(node.value).lower()

    def _mapping(
        self, node: Node, field: str, allowed: tuple[str, ...] = (), needed: str | None = None
    ) -> dict[str, Node]:
        if not isinstance(node, MappingNode):
            self._refuse(node, f"{field} is {_shown(node)}: a mapping is needed")
        found: dict[str, Node] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode) or (allowed and key.value not in allowed):
                names = ", ".join(allowed) or "names of coins"
                self._refuse(key, f"{field} has the key {_shown(key)}: allowed are {names}")
            if key.value in found:
                self._refuse(key, f"{field} has the key {key.value!r} twice: once is allowed")
            found[key.value] = value
        if needed is not None and needed not in found:
            self._refuse(node, f"{field} has no `{needed}`: it is needed")
        return found

    def _refuse(self, node: Node, problem: str) -> NoReturn:
        raise PriceSourceError(f"{self._name} line {node.start_mark.line + 1}: {problem}")


def _shown(node: Node) -> str:
    if isinstance(node, ScalarNode):
        return repr(node.value)
    return "a mapping" if isinstance(node, MappingNode) else "a list"
