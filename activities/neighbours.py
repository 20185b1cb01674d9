"""Other trades on the same coin of the same account: found, greeted, and asked for their part of the position.

Whoever opens waits until it is listed itself, lists the others, and greets them, all before its first order. So of two
that open at once the later to list finds the earlier; and whoever runs has heard of all that may hold a part.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple, TypeVar

from temporalio import activity
from temporalio.client import WorkflowQueryFailedError, WorkflowQueryRejectedError
from temporalio.common import QueryRejectCondition
from temporalio.service import RPCError, RPCStatusCode

from activities.messages import TRADE, Greeting, Neighbour, trade_name
from exchange.port import Fill

T = TypeVar("T")

RPC_TIMEOUT = timedelta(seconds=2)
LISTED_WITHIN_S = 4.0
LISTS_AGAIN_AFTER_S = 0.02
ASKS_MAX = 5
ASKS_AGAIN_AFTER_S = 0.3


class Own(NamedTuple):
    """Where the one position is."""

    coin: str
    network: str
    account: str


class Silent(NamedTuple):
    """It did not answer; what it holds is not known."""

    trade: str


Answers = Mapping[str, Neighbour | Silent]
"""By trade id; of one that is silent, by the id that was asked for. Those that are over are not there."""


class Beside(NamedTuple):
    """What the others said around a question to the exchange; `unsettled` says why it doesn't count."""

    others: tuple[Neighbour, ...]
    unsettled: str | None


def workflow_of(trade_id: str) -> str:
    return trade_id.partition("/")[0]


class NotReached(Exception):
    """Temporal does not say now which trades run, or does not reach one."""


async def found_on(coin: str, trade_id: str) -> tuple[str, ...]:
    """Workflow ids of the others that run on the coin. Returns only once the asking trade is in the list itself; raises
    NotReached if that takes long."""
    own, quoted = workflow_of(trade_id), coin.replace("'", "''")
    query = (
        f"WorkflowType = 'Trade' AND ExecutionStatus = 'Running' AND "
        f"(WorkflowId = '{TRADE}{quoted}' OR WorkflowId STARTS_WITH '{TRADE}{quoted}-' OR Coin = '{quoted}' "
        f"OR WorkflowId = '{own}')"
    )
    deadline_s = asyncio.get_running_loop().time() + LISTED_WITHIN_S
    while True:
        try:
            listed = activity.client().list_workflows(query, rpc_timeout=RPC_TIMEOUT)
            ids = {execution.id async for execution in listed}
        except RPCError as error:
            raise NotReached(f"Temporal does not list the trades on {coin}: {error}") from error
        if own in ids:
            return tuple(sorted(ids - {own}))
        if asyncio.get_running_loop().time() > deadline_s:
            raise NotReached(f"Temporal does not list {own} yet")
        await asyncio.sleep(LISTS_AGAIN_AFTER_S)


async def greet(ids: Iterable[str], trade_id: str) -> None:
    """Each knows of the trade when this returns. Raises NotReached for one that can't be told."""
    for each in ids:
        handle = activity.client().get_workflow_handle(workflow_of(each))
        try:
            await handle.signal("neighbour", Greeting(trade_id=trade_id), rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise NotReached(f"{trade_name(each)} does not hear: {error}") from error


async def asked_around(
    ids: Collection[str],
    own: Own,
    ask: Callable[[], Awaitable[T]],
    fills_of: Callable[[T], Sequence[Fill]] = lambda _: (),
) -> tuple[T, Beside]:
    """What `ask` finds at the exchange, and the others that share `own` as they are all that time:
    they are asked before and after, and if one ordered in between all is asked again, some times."""
    if not ids:
        return await ask(), Beside((), None)
    for left in reversed(range(ASKS_MAX)):
        before = await _answers(ids, own)
        found = await ask()
        silent = next((each for each in before.values() if isinstance(each, Silent)), None)
        # Whoever is silent is so for a while, and the trade that asks has other things to do.
        after = before if silent else await _answers(ids, own)
        unsettled = _unsettled(before, after, fills_of(found))
        if unsettled is None or silent or not left:
            break
        await asyncio.sleep(ASKS_AGAIN_AFTER_S)
    return found, Beside(tuple(each for each in after.values() if isinstance(each, Neighbour)), unsettled)


def _unsettled(before: Answers, after: Answers, fills: Sequence[Fill]) -> str | None:
    for each in after.values():
        if isinstance(each, Silent):
            return f"{each.trade} does not answer"
        if each.unsettled is not None:
            return each.unsettled
        if any(fill.cloid in each.stop_cloids for fill in fills):
            return f"a backstop of {each.name} fired, and it has not looked yet"
    return None if before == after else "another trade ordered meanwhile"


async def _answers(ids: Collection[str], own: Own) -> Answers:
    answers = await asyncio.gather(*(_answer(each) for each in ids))
    return {
        each.trade_id if isinstance(each, Neighbour) else asked: each
        for asked, each in zip(ids, answers, strict=True)
        if isinstance(each, Silent) or (each is not None and _counts(asked, each, own))
    }


def _counts(asked: str, answer: Neighbour, own: Own) -> bool:
    """Not over, not the next trade of that name, not of another account."""
    same = asked in (answer.trade_id, workflow_of(answer.trade_id))
    shares = (answer.coin, answer.network) == (own.coin, own.network) and answer.account in ("", own.account)
    return same and shares and answer.mode != "closed"


async def _answer(asked: str) -> Neighbour | Silent | None:
    """None of a trade that has ended."""
    handle = activity.client().get_workflow_handle(workflow_of(asked))
    try:
        answer: Neighbour = await handle.query(
            "neighbour",
            result_type=Neighbour,
            reject_condition=QueryRejectCondition.NOT_OPEN,
            rpc_timeout=RPC_TIMEOUT,
        )
    except WorkflowQueryRejectedError:
        return None
    except WorkflowQueryFailedError:
        return Silent(trade_name(asked))
    except RPCError as error:
        return None if error.status is RPCStatusCode.NOT_FOUND else Silent(trade_name(asked))
    return answer
