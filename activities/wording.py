"""One message of one or several notices."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from activities.messages import Notice

TEXT_MAX = 1_500
"""Characters; what is said first is always said whole. Receivers take 2,000 or more."""
LINE_MAX = 200
"""Of those that are told along."""


@dataclass(frozen=True)
class Words:
    first: Notice
    title: str
    text: str


def worded(notices: Sequence[Notice]) -> Words:
    """At least one notice, the most important first."""
    first, *others = sorted(notices, key=lambda each: (not each.urgent, -each.at_ms))
    # Receivers that show one field show the text.
    text = f"{first.about}: {first.text}"
    if others:
        text += _along(others, TEXT_MAX - len(text))
    return Words(first=first, title=f"HyperTrader {first.about}", text=text)


def _along(others: Sequence[Notice], room: int) -> str:
    lines = [f"\nand {len(others)} more:"]
    for told, notice in enumerate(others):
        at = datetime.fromtimestamp(notice.at_ms / 1000, UTC)
        line = f"\n{at:%H:%M} UTC {notice.about}: {notice.text}"
        line = line if len(line) <= LINE_MAX else f"{line[: LINE_MAX - 1]}…"
        room -= len(line)
        if room < 0:
            lines.append(f"\n{len(others) - told} of them are in the worker's log only")
            break
        lines.append(line)
    return "".join(lines)
