"""When a portfolio is rebalanced by itself: a Temporal Schedule, so that it is kept by the server."""

from datetime import UTC, datetime, timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleCalendarSpec,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleUpdate,
)
from temporalio.service import RPCError, RPCStatusCode

from activities.messages import TRADES_QUEUE
from cli.errors import BadOption
from workflows.portfolio.asked import PortfolioInput
from workflows.portfolio.scheduled import schedule_id

DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
"""As Temporal counts them."""
MISSED_MAX = timedelta(days=1)
"""What was missed by more, while Temporal was away, is left to the next time."""


def calendar(every: str, at: str) -> ScheduleCalendarSpec:
    """`weekly` at "mon 06:00" or `daily` at "06:00", UTC. Raises BadOption."""
    words = at.lower().split()
    *day, clock = words or [""]
    try:
        time = datetime.strptime(clock, "%H:%M").replace(tzinfo=UTC)
    except ValueError:
        time = None
    if time is None or (every == "daily" and day) or (every == "weekly" and (len(day) != 1 or day[0] not in DAYS)):
        allowed = "a time such as 06:00" if every == "daily" else f"a day ({', '.join(DAYS)}) and a time, as mon 06:00,"
        raise BadOption(f"--at is {at}; {allowed} of UTC is allowed for {every}")
    days = [ScheduleRange(DAYS.index(each)) for each in day] or [ScheduleRange(0, 6)]
    return ScheduleCalendarSpec(
        hour=[ScheduleRange(time.hour)], minute=[ScheduleRange(time.minute)], day_of_week=days, comment=f"{every} {at}"
    )


async def keep(client: Client, name: str, network: str, when: ScheduleCalendarSpec) -> None:
    """From now on; a former one is over."""
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(
            "Rebalancing", PortfolioInput(name=name, network=network), id=schedule_id(name), task_queue=TRADES_QUEUE
        ),
        spec=ScheduleSpec(calendars=[when]),
        policy=SchedulePolicy(catchup_window=MISSED_MAX),
    )
    try:
        await client.create_schedule(schedule_id(name), schedule)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(schedule_id(name)).update(lambda _: ScheduleUpdate(schedule))


async def drop(client: Client, name: str) -> bool:
    """Whether there was one."""
    try:
        await client.get_schedule_handle(schedule_id(name)).delete()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True


async def next_time(client: Client, name: str) -> datetime | None:
    """None when nothing is scheduled."""
    try:
        described = await client.get_schedule_handle(schedule_id(name)).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    return next(iter(described.info.next_action_times), None)
