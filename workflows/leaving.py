"""No new cycle: the trade closes at its next RESET, or when it has earned enough or its date has come before that."""

from strategy.values import plain
from workflows.contracts import TradeRecord
from workflows.diary import moment
from workflows.granting import Leave


def leave_words(leave: Leave) -> str:
    """What will happen."""
    ways = ["at the next RESET"]
    if leave.profit_usd is not None:
        ways.append(f"once {plain(leave.profit_usd):f} USD are earned")
    if leave.until_ms is not None:
        ways.append(f"on {moment(leave.until_ms)}")
    return f"no new cycle: it closes {', or '.join(ways)}"


def left_at_reset(leave: Leave) -> str:
    return f"left at RESET: {leave.reason}" if leave.reason else "left at RESET"


def has_earned_enough(record: TradeRecord) -> str | None:
    """Why it leaves now, at the last price; None while it stays."""
    leave, price = record.leave, record.last_price
    if leave is None or leave.profit_usd is None or record.state is None or price is None:
        return None
    earned_usd = record.earned_usd(price)
    if earned_usd < leave.profit_usd:
        return None
    return f"left: {earned_usd:.2f} USD are earned, {plain(leave.profit_usd):f} were asked for"
