"""Telling a person: a log line of level ERROR, and a POST to the webhook of HYPERTRADER_NOTIFY_URL when there is one.

The address often holds the receiver's token, so it is treated as a secret: it is no setting (those are printed and
handed to other processes), and nothing raised or logged here repeats it.
"""

import logging
import os
from urllib.parse import urlsplit

import aiohttp
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.messages import Notice
from exchange.network import SetupRefused

NOTIFY_VARIABLE = "HYPERTRADER_NOTIFY_URL"
TIMEOUT_S = 10.0

log = logging.getLogger("hypertrader.notice")


def notify_url() -> str | None:
    """Where notices are sent; None when they are only logged. Raises SetupRefused for what is no web address."""
    url = os.environ.get(NOTIFY_VARIABLE)
    if not url:
        return None
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise SetupRefused(f"{NOTIFY_VARIABLE} is not an http:// or https:// address (it is a secret, so not shown)")
    return url


@activity.defn
async def notify(notice: Notice) -> None:
    """Log a notice once, and deliver it. A delivery that fails raises a retryable `NotDelivered`; one whose answer is
    lost is repeated, so a person may hear twice."""
    if activity.info().attempt == 1:
        log.error("%s: %s", notice.coin, notice.text, extra={"workflow_id": notice.workflow_id})
    url = notify_url()
    if url is not None:
        await _deliver(url, notice)


async def _deliver(url: str, notice: Notice) -> None:
    body = {
        "title": f"HyperTrader {notice.coin}",
        # Receivers that show one field show this one.
        "text": f"{notice.coin}: {notice.text}",
        "coin": notice.coin,
        "workflow_id": notice.workflow_id,
        "at_ms": notice.at_ms,
    }
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            # A redirected POST arrives as an empty GET, which a receiver may well answer with 200.
            async with session.post(url, json=body, allow_redirects=False) as answer:
                status = answer.status
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        # Neither its text nor itself as the cause: both name the address.
        raise _not_delivered(type(error).__name__) from None
    if not 200 <= status < 300:
        raise _not_delivered(f"the receiver answered HTTP {status}")


def _not_delivered(why: str) -> ApplicationError:
    return ApplicationError(f"the notice was not delivered: {why}", type="NotDelivered")
