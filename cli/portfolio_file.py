"""A portfolio's terms as a file or as single fields: read, with shares as 0.4 or 40%, and compared."""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cli.errors import BadOption, CommandFailed
from plans.files import problems, read_data
from portfolio.terms import PortfolioTerms
from strategy.values import plain

SHARES = ("reserve_share", "band", "max_drawdown", "warn_at", "max_coin_share")
SHARES_IN = ("shares", "split")
_PERCENT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")
NOTHING = ("none", "null", "")


def read_terms(path: Path) -> PortfolioTerms:
    """Raises CommandFailed with the file, the line, and each field that is wrong."""
    data = read_data(path, "a portfolio")
    if not isinstance(data, dict):
        raise CommandFailed(f"{path}: it holds {type(data).__name__}; a portfolio is fields and values")
    try:
        return PortfolioTerms.model_validate(_as_shares(data))
    except ValidationError as error:
        line = _line_of(path.read_text("utf-8"), error.errors()[0]["loc"])
        raise CommandFailed(f"{path}{f':{line}' if line else ''}: {_problems(error)}") from error


def first_terms(words: Sequence[str]) -> PortfolioTerms:
    """With shares such as `ETH=40%`, and all else as it is by default. Raises BadOption."""
    return _of({"shares": dict(word.partition("=")[::2] for word in words)})


def changed(terms: PortfolioTerms, words: Sequence[str]) -> PortfolioTerms:
    """With fields such as `shares.ETH=30%` or `limits.max_leverage=none`. Raises BadOption."""
    data: dict[str, Any] = terms.model_dump(mode="json")
    for word in words:
        _put(data, word)
    return _of(data)


def _of(data: dict[str, Any]) -> PortfolioTerms:
    try:
        return PortfolioTerms.model_validate(_as_shares(data))
    except ValidationError as error:
        raise BadOption(_problems(error)) from error


def _put(data: dict[str, Any], word: str) -> None:
    path, is_set, text = word.partition("=")
    if not is_set:
        raise BadOption(f"{word} sets nothing; FIELD=VALUE such as reserve_share=0.25 or shares.ETH=30% is allowed")
    *above, last = path.split(".")
    inside = data
    for name in above:
        inside = inside.get(name, {}) if isinstance(inside, dict) else {}
    if not isinstance(inside, dict) or (inside is not data.get("shares") and last not in inside):
        raise BadOption(f"{path} is no field; {', '.join(_fields(data))} can be set")
    value = text.strip()
    if isinstance(inside.get(last), dict):
        raise BadOption(f"{path} is {value}; name a field of it, such as {path}.{next(iter(inside[last]), 'ETH')}")
    if inside is data.get("shares") and value.lower() in NOTHING:
        inside.pop(last, None)
    elif isinstance(inside.get(last), list):
        inside[last] = [each.strip() for each in value.split(",") if each.strip()]
    else:
        inside[last] = None if value.lower() in NOTHING else value


def _fields(data: dict[str, Any], above: str = "") -> Iterator[str]:
    for name, value in data.items():
        path = f"{above}{name}"
        if path == "shares":
            yield "shares.COIN"
        elif isinstance(value, dict):
            yield from _fields(value, f"{path}.")
        else:
            yield path


def changes(before: PortfolioTerms | None, after: PortfolioTerms) -> list[tuple[str, str, str]]:
    """Field, its value before and after, of those that differ; "" is not there."""
    old = dict(_flat(before)) if before is not None else {}
    new = dict(_flat(after))
    fields = [*new, *(field for field in old if field not in new)]
    return [(each, old.get(each, ""), new.get(each, "")) for each in fields if old.get(each) != new.get(each)]


def _flat(terms: PortfolioTerms) -> Iterator[tuple[str, str]]:
    yield from ((f"shares.{coin}", _shown(share)) for coin, share in terms.shares.items())
    for name, value in terms.model_dump(exclude={"shares"}).items():
        inside = value.items() if isinstance(value, dict) else [("", value)]
        yield from (((f"{name}.{field}" if field else name), _shown(each)) for field, each in inside)


def _shown(value: object) -> str:
    match value:
        case tuple():
            return ", ".join(map(_shown, value)) or "none"
        case Decimal():
            return f"{plain(value):f}"
        case _:
            return "none" if value is None else f"{value}"


def _as_shares(data: Any, *, inside: bool = False) -> Any:
    """The same with "40%" as 0.4 where a share is meant."""
    if isinstance(data, dict):
        return {name: _as_shares(each, inside=inside or name in (*SHARES, *SHARES_IN)) for name, each in data.items()}
    if isinstance(data, list):
        return [_as_shares(each, inside=inside) for each in data]
    if inside and isinstance(data, str) and (found := _PERCENT.fullmatch(data)):
        return f"{plain(Decimal(found[1]) / 100):f}"
    return data


def _problems(error: ValidationError) -> str:
    return problems(error, lambda each: ".".join(str(part) for part in each["loc"]))


def _line_of(text: str, path: Sequence[int | str]) -> int | None:
    """Of the innermost field that is there; JSON is YAML enough."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return None
    line: int | None = None
    for part in path:
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
        elif isinstance(node, yaml.MappingNode):
            key, node = next(((key, value) for key, value in node.value if key.value == part), (None, None))
            line = key.start_mark.line + 1 if key is not None else line
    return line
