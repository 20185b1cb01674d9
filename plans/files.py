"""Plans as files: read from YAML or JSON, written as YAML, and their JSON Schema.

A number stays what is written: it is never read as a float. Nor does `off` mean false here, as YAML has it.
"""

import json
from collections.abc import Callable, Hashable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from plans.plan import Backstop, EntryRule, ExitRule, RiskLimits, Size, TradingPlan
from strategy.fibonacci import Fibonacci, Level
from strategy.ladder import Ladder, ScaleOut
from strategy.values import Value, plain

ENDINGS = (".yaml", ".yml", ".json")
SIZE_MAX_BYTES = 100_000
_MODELS: tuple[type[Value], ...] = (
    TradingPlan, Size, EntryRule, ExitRule, RiskLimits, Backstop, Ladder, ScaleOut, Fibonacci, Level,
)  # fmt: skip
_FIELDS = frozenset(name for model in _MODELS for name in model.model_fields)


class BadPlanError(ValueError):
    """One line: the plan or its file, and each field that is wrong with its value and what is allowed."""


def read_plan(path: Path) -> TradingPlan:
    """Raises BadPlanError."""
    data = read_data(path)
    try:
        return plan_of(data)
    except BadPlanError as error:
        raise BadPlanError(f"{path}: {error}") from error


def read_data(path: Path, what: str = "a plan") -> Any:
    """What a YAML or JSON file holds, its numbers as text. Raises BadPlanError."""
    if path.suffix.lower() not in ENDINGS:
        raise BadPlanError(f"{path}: its name ends in {path.suffix or 'nothing'}; {' or '.join(ENDINGS)} can be read")
    try:
        with path.open("rb") as file:
            raw = file.read(SIZE_MAX_BYTES + 1)
    except OSError as error:
        raise BadPlanError(f"{path}: can't be read: {error.strerror or error}") from error
    if len(raw) > SIZE_MAX_BYTES:
        raise BadPlanError(f"{path}: is longer than {SIZE_MAX_BYTES} bytes; that is not {what}")
    try:
        text = raw.decode()
        return from_json(text) if path.suffix.lower() == ".json" else from_yaml(text)
    except BadPlanError as error:
        raise BadPlanError(f"{path}: {error}") from error
    except (UnicodeDecodeError, RecursionError, yaml.YAMLError, json.JSONDecodeError) as error:
        raise BadPlanError(f"{path}: is not {what}: {' '.join(str(error).split())}") from error


def plan_of(data: object) -> TradingPlan:
    """Raises BadPlanError with all that is wrong."""
    if not isinstance(data, dict):
        raise BadPlanError(
            f"it holds {'nothing' if data is None else type(data).__name__}; a plan is fields and values"
        )
    try:
        return TradingPlan.model_validate(data)
    except ValidationError as error:
        raise BadPlanError(problems(error)) from error


def dumped(value: Value) -> str:
    """A plan as YAML, in the fields' order; what is not set is left out."""
    text: str = yaml.dump(
        _stated(value), Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=100, allow_unicode=True
    )
    return text


def _stated(value: Value) -> dict[str, Any]:
    """Without what says nothing; but "none" where something else would be taken instead."""
    stated: dict[str, Any] = {}
    for name, given in value:
        if given is None and type(value).model_fields[name].default is None:
            continue
        plainly = _stated(given) if isinstance(given, Value) else given
        if isinstance(given, tuple):
            plainly = [_stated(each) if isinstance(each, Value) else each for each in given]
        if plainly != {}:
            stated[name] = plainly
    return stated


def schema() -> dict[str, Any]:
    """JSON Schema of a plan's file. What depends on several fields is checked by `read_plan` alone."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **TradingPlan.model_json_schema()}


def problems(error: ValidationError, named: Callable[[ErrorDetails], str] | None = None) -> str:
    """Each field once, with its value and what is allowed, on one line. `named` says how a field is called."""
    found = [(field, list(same)) for field, same in groupby(error.errors(include_url=False), key=named or _field)]
    # A list that lacks what is wrong in it is no second mistake.
    inside = tuple(field for field, _ in found)
    return "; ".join(
        _problem(field, same) for field, same in found if not any(each.startswith(f"{field}.") for each in inside)
    )


def _problem(field: str, same: Sequence[ErrorDetails]) -> str:
    """Several are the ways in which a value could have been right."""
    first = same[0]
    match first["type"]:
        case "missing":
            return f"{field} is missing"
        case "extra_forbidden":
            return f"{field} is {_shown(first['input'])}: there is no such field"
        case "value_error":
            said = first["msg"].removeprefix("Value error, ")
            return f"{field}: {said}" if field else said
        case _:
            allowed = " or ".join(dict.fromkeys(_allowed(each["msg"]) for each in same))
            return f"{field} is {_shown(first['input'])}: it must {allowed}"


def _allowed(message: str) -> str:
    """What follows "it must"."""
    _, should, allowed = message.removesuffix(", unable to parse string as an integer").partition(" should ")
    return allowed if should else f"be valid ({message})"


def _field(error: ErrorDetails) -> str:
    """Without the names pydantic gives to the ways of reading a value."""
    *parts, last = error["loc"] or ("",)
    kept = [part for part in parts if isinstance(part, int) or part in _FIELDS]
    if isinstance(last, int) or last in _FIELDS or error["type"] == "extra_forbidden":
        kept.append(last)
    return ".".join(str(part) for part in kept)


def _shown(value: object) -> str:
    return f"{value!s:.60}"


def from_json(text: str) -> Any:
    """With numbers as text. Raises BadPlanError for a field given twice, JSONDecodeError."""
    return json.loads(text, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_once_each)


def _once_each(pairs: Sequence[tuple[Hashable, Any]]) -> dict[Hashable, Any]:
    _refuse_twice(key for key, _ in pairs)
    return dict(pairs)


def _refuse_twice(keys: Iterator[Hashable]) -> None:
    seen: set[Hashable] = set()
    for key in keys:
        if key in seen:
            raise BadPlanError(f"{key} is given twice; once is allowed")
        seen.add(key)


def from_yaml(text: str) -> Any:
    """With numbers, times and words such as `off` as text. Raises BadPlanError for a field given twice, YAMLError."""
    return yaml.load(text, Loader=_Loader)


class _Loader(yaml.SafeLoader):
    """Text stays text, but for null."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in known if tag == "tag:yaml.org,2002:null"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        _refuse_twice(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Numbers as people write them, plain to any reader of YAML."""


def _decimal(dumper: yaml.SafeDumper, number: Decimal) -> yaml.ScalarNode:
    text = f"{plain(number):f}"
    return dumper.represent_scalar(f"tag:yaml.org,2002:{'float' if '.' in text else 'int'}", text)


def _word(dumper: yaml.SafeDumper, word: StrEnum) -> yaml.ScalarNode:
    return dumper.represent_str(word.value)


def _moment(dumper: yaml.SafeDumper, moment: datetime) -> yaml.ScalarNode:
    return dumper.represent_str(moment.isoformat())


_Dumper.add_representer(Decimal, _decimal)
_Dumper.add_multi_representer(StrEnum, _word)
_Dumper.add_representer(datetime, _moment)
