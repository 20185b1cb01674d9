"""What an operator sent, as the message it should be: one JSON object, or a sentence that says what is allowed."""

from collections.abc import Sequence
from typing import TypeVar

from pydantic import ValidationError

from activities.messages import Message

FIELDS_MAX = 50
REFUSALS_SHOWN = 3

M = TypeVar("M", bound=Message)


def read_one(model: type[M], given: object, extra: Sequence[object]) -> M:
    """One JSON object as `model`; nothing at all counts as an empty object. Raises ValueError.

    Handlers take whatever comes and read it here: the SDK drops what does not fit a typed handler without a word.
    """
    if extra:
        raise ValueError(f"{1 + len(extra)} arguments were given; one JSON object is expected")
    return _valid(model, {} if given is None else given)


def _valid(model: type[M], value: object) -> M:
    if not isinstance(value, dict):
        raise ValueError(f"{str(value)[:80]!r} was given; one JSON object is expected")
    if len(value) > FIELDS_MAX:
        # Each would get a sentence: a workflow has two seconds for all.
        raise ValueError(f"{len(value)} fields were given; allowed: {', '.join(model.model_fields)}")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ValueError("; ".join(_sentence(model, detail) for detail in error.errors()[:REFUSALS_SHOWN])) from None


def _sentence(model: type[Message], detail: object) -> str:
    """Field, value and what is allowed, in one line."""
    assert isinstance(detail, dict)
    field = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        # Of what lies further in, other fields are allowed.
        allowed = f"; allowed: {', '.join(model.model_fields)}" if len(detail["loc"]) == 1 else ""
        return f"{field} is not known{allowed}"
    return f"{field} is {str(detail['input'])[:80]!r}: {detail['msg']}"
