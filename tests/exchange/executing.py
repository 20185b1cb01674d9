"""A process that executes one intent: settings and intent as JSON on stdin, the outcome as JSON on stdout."""

import asyncio
import json
import sys

from exchange.gateway import HyperliquidGateway
from exchange.network import load_key
from exchange.port import Intent
from settings import Settings


async def main() -> None:
    given = json.loads(sys.stdin.read())
    settings = Settings.model_validate(given["settings"])
    gateway = HyperliquidGateway.connect(settings, key=load_key(settings))
    try:
        outcome = await gateway.execute(Intent.model_validate(given["intent"]))
    finally:
        await gateway.close()
    sys.stdout.write(outcome.model_dump_json())


if __name__ == "__main__":
    asyncio.run(main())
