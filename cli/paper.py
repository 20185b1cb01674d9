"""Paper trading on the simulator of a stack: the account's made-up money, and prices that wait for us."""

import asyncio
import time
from decimal import Decimal

from temporalio.client import Client

from cli.errors import CommandFailed
from cli.stack import Stack
from cli.venue import ControlApi
from exchange.network import load_key
from settings import Settings
from workflows.asked import workflow_id

STARTING_USD = Decimal(10_000)
MARGIN_MULTIPLE = 3
"""What a paper account should have at least, in margins of the trade it opens."""
FOLLOWED_TIMEOUT_S = 30.0
POLL_S = 0.05


def paper_account(settings: Settings) -> str:
    """The address that trades; its key is made in the state folder when there is none."""
    return settings.account or load_key(settings).address


def control_of(stack: Stack) -> ControlApi:
    assert stack.control is not None, "only the paper network has a simulator"
    return stack.control


async def fund_once(stack: Stack, margin_usd: Decimal) -> None:
    """Give the paper account money when it has never had any."""
    account = paper_account(stack.settings)
    if not await control_of(stack).ledger(account):
        await control_of(stack).fund(account, max(STARTING_USD, MARGIN_MULTIPLE * margin_usd))


async def wait_until_followed(client: Client, control: ControlApi, coin: str, *, since_s: float = 0.0) -> None:
    """Returns when a feed process follows the coin's price for its trade. Raises CommandFailed if none does.

    For a trade of an earlier stack `since_s`, wall time, is when this one started: older signs of life do not count.
    """
    handle = client.get_workflow_handle(workflow_id(coin))
    deadline_s = time.monotonic() + FOLLOWED_TIMEOUT_S
    while True:
        pending = (await handle.describe()).raw_description.pending_activities
        beating = any(
            activity.activity_type.name == "track_units"
            and activity.HasField("last_heartbeat_time")
            and activity.last_heartbeat_time.ToNanoseconds() / 1e9 > since_s
            for activity in pending
        )
        if beating and (await control.state())["connections"]:
            return
        if time.monotonic() > deadline_s:
            raise CommandFailed(f"no feed process follows {coin}: see feed.log in the state folder's logs")
        await asyncio.sleep(POLL_S)
