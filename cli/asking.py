"""Asking a workflow and telling it something, with what may come of it as one line each."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import BaseModel
from temporalio.client import (
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.service import RPCError, RPCStatusCode

from activities.messages import Message
from cli.errors import CommandFailed, CommandRefused
from workflows.status import ASK_AGAIN

M = TypeVar("M", bound=BaseModel)

ANSWER_TIMEOUT_S = 15.0
ASK_TIMEOUT_S = 3.0
"""Of one question, of all that are asked within the other."""
ASKS_AGAIN_AFTER_S = 0.1
_NO_WORKER = "is `hypertrader worker` running? (`hypertrader doctor` tells)"


@dataclass(frozen=True)
class Asked:
    """Who is asked, in the words of the failures."""

    name: str
    unknown: str
    """Said of one that never was, and what to do."""
    ended: str
    """Said of one that is over."""


async def ask(
    handle: WorkflowHandle[Any, Any],
    query: str,
    answer: type[M],
    asked: Asked,
    within_s: float = ANSWER_TIMEOUT_S,
) -> M:
    """A question that a dead worker took with it is asked again. Raises CommandFailed."""
    deadline_s = time.monotonic() + within_s
    async with sorted_failures(asked):
        while True:
            try:
                found: M = await handle.query(query, result_type=answer, rpc_timeout=timedelta(seconds=ASK_TIMEOUT_S))
            except (RPCError, WorkflowQueryFailedError) as error:
                if not _is_worth_asking_again(error) or time.monotonic() > deadline_s:
                    raise
                await asyncio.sleep(ASKS_AGAIN_AFTER_S)
            else:
                return found


def _is_worth_asking_again(error: RPCError | WorkflowQueryFailedError) -> bool:
    """A question that a dead worker took with it is never answered, and the next one may be."""
    if isinstance(error, RPCError):
        return error.status in (RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED)
    return ASK_AGAIN in str(error)


async def told(handle: WorkflowHandle[Any, Any], update: str, message: Message, timeout_s: float) -> str:
    """The answer to an update. To be called within `sorted_failures`."""
    answer: str = await handle.execute_update(
        update, message, result_type=str, rpc_timeout=timedelta(seconds=timeout_s)
    )
    return answer


@asynccontextmanager
async def sorted_failures(asked: Asked) -> AsyncIterator[None]:
    """What Temporal and the workflow answer, as one line each."""
    began_s = time.monotonic()
    try:
        yield
    except WorkflowUpdateFailedError as error:
        raise CommandRefused(_innermost(error)) from error
    except WorkflowQueryFailedError as error:
        raise CommandFailed(f"{asked.name} can't answer: {error}") from error
    except (WorkflowUpdateRPCTimeoutOrCancelledError, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError):
            raise
        raise CommandFailed(
            f"{asked.name} did not answer in {time.monotonic() - began_s:.0f} s: {_NO_WORKER}; "
            f"what was asked may still be done when one is back"
        ) from error
    except RPCError as error:
        kind = CommandRefused if error.status is RPCStatusCode.NOT_FOUND else CommandFailed
        raise kind(_rpc_line(error, asked)) from error


def _rpc_line(error: RPCError, asked: Asked) -> str:
    match error.status:
        case RPCStatusCode.NOT_FOUND if "completed" in str(error):
            return asked.ended
        case RPCStatusCode.NOT_FOUND:
            return asked.unknown
        case RPCStatusCode.DEADLINE_EXCEEDED | RPCStatusCode.CANCELLED:
            return f"{asked.name} did not answer: {_NO_WORKER}"
        case RPCStatusCode.UNAVAILABLE:
            return "Temporal does not answer: start it with `hypertrader up`, or name its address with --temporal"
        case _:
            return f"Temporal: {error}"


def _innermost(error: BaseException) -> str:
    while (cause := getattr(error, "cause", None)) is not None:
        error = cause
    return str(getattr(error, "message", error))
