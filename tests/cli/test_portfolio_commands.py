"""A portfolio's life by command line, on the real stack."""

import json
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Finished, hypertrader
from tests.feed.harness import until_async
from tests.stack import Floor

FILE = """\
shares: {eth: 0.1%, SOL: 0.05%}
reserve_share: 20%
savings_coin: ETH
band: 0
"""


async def said(floor: Floor, *words: str, **env: str) -> Finished:
    return await hypertrader("portfolio", *words, env=floor.environment() | env)


async def ok(floor: Floor, *words: str) -> str:
    finished = await said(floor, *words)
    assert finished.code == 0, finished.err
    return finished.out


async def refused(floor: Floor, *words: str) -> str:
    finished = await said(floor, *words)
    assert finished.code in (1, 2), finished.out
    return finished.error


async def shown(floor: Floor) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await ok(floor, "show", "--json"))
    return found


async def given(floor: Floor, coin: str) -> dict[str, str]:
    coins = (await shown(floor))["portfolio"]["coins"]
    found: dict[str, str] = next(each["trades"] for each in coins if each["coin"] == coin)
    return found


async def test_a_portfolio_lives_its_life_by_command_line(floor: Floor, tmp_path: Path) -> None:
    path = tmp_path / "main.yaml"
    path.write_text(FILE)
    assert await refused(floor, "show") == ("no portfolio main runs: begin it with `hypertrader portfolio apply FILE`")
    assert "shares.ETH" in await ok(floor, "apply", str(path), "--dry-run")
    assert "runs" in await refused(floor, "show")
    begun = await ok(floor, "apply", str(path), "--yes")
    assert f"portfolio main runs for {floor.account}: 1,000,000.00 USD, 800,000.00 of them for trades" in begun
    assert "holds these terms already: version 1" in await ok(floor, "apply", str(path), "--yes")

    seen = (await shown(floor))["portfolio"]
    assert seen["terms"]["shares"] == {"ETH": "0.001", "SOL": "0.0005"}
    # What its own words are is the file again.
    path.write_text(await ok(floor, "show", "--file"))
    assert "holds these terms already" in await ok(floor, "apply", str(path))

    changed = await ok(floor, "set", "limits.max_leverage=5", "shares.DOGE=5%", "--yes")
    assert "limits.max_leverage  none -> 5" in changed and "version 2 holds from now on" in changed
    assert "shares.DOGE" in await ok(floor, "set", "shares.doge=none", "shares.DOGE=none", "--yes")
    assert (await refused(floor, "set", "shares.NOSUCH=1%", "--yes")).startswith("coin NOSUCH is not traded on paper")
    assert "together" in await refused(floor, "set", "reserve_share=100%")

    await floor.control.set_price("ETH", Decimal(3000))
    words = ("--portfolio", "main", "--unit-size", "20", "--leverage", "10")
    opened = await hypertrader("trade", "start", "ETH", *words, env=floor.environment())
    assert opened.code == 0, opened.err
    assert await given(floor, "ETH") == {"trade-ETH": "1000"}
    picture = await ok(floor, "show")
    assert "ADVANCE +0" in picture and "no trade" in picture and "by hand" in picture

    assert "next Mon" in await ok(floor, "schedule", "weekly", "--at", "mon 06:00")
    assert (await shown(floor))["next_rebalance"].endswith("06:00:00+00:00")
    assert "by hand alone" in await ok(floor, "schedule", "off")

    assert "200 USD are to become ETH" in await ok(floor, "skim", "200")
    assert "at most" in await refused(floor, "skim", "9000000")
    # Opening it has cost a few dollars: without a band it is off.
    dry = await ok(floor, "rebalance")
    assert "trade-ETH" in dry and "nothing was done: --yes does it" in dry
    assert (await shown(floor))["portfolio"]["rebalanced_ms"] == 0
    assert "resized when each is 100% long" in await ok(floor, "rebalance", "--yes")
    await until_async(lambda: is_rebalanced(floor))
    words = ("--until", "2099-01-31T00:00Z", "--profit", "50")
    assert "trades begin no new cycle" in await ok(floor, "exit", "eth", *words)
    leaving = (await shown(floor))["portfolio"]["leaving"]["ETH"]["leave"]
    assert (leaving["profit_usd"], leaving["until_ms"]) == ("50", 4_073_500_800_000)

    stopped = await ok(floor, "stop-all", "--reason", "smoke")
    assert "portfolio-main: flat, as the exchange said at" in stopped and "trade-ETH: stopped" in stopped
    assert not (await floor.books())["positions"]
    assert "STOPPED since" in await ok(floor, "show")
    assert "trades may begin again" in await ok(floor, "release", "--reason", "it was a drill")
    assert "neither" in await refused(floor, "release", "--reason", "again")

    # What was skimmed may be being bought still.
    await until_async(lambda: is_idle(floor))
    assert "portfolio main is over" in await ok(floor, "end", "--reason", "enough")
    assert "portfolio main has ended" in await refused(floor, "show")
    assert "portfolio main runs for" in await ok(floor, "apply", str(path), "--yes")


async def is_idle(floor: Floor) -> bool:
    return (await shown(floor))["portfolio"]["purchase"] is None


async def is_rebalanced(floor: Floor) -> bool:
    return bool((await shown(floor))["portfolio"]["rebalanced_ms"])


async def test_a_drill_stops_the_paper_stack_for_real_and_says_the_way_back(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await floor.open("SOL", price=200, margin=500, unit_size=2, leverage=10)
    monkeypatch.setattr("sys.stdin", StringIO("n\n"))
    unwanted = await hypertrader("drill", "emergency-stop", env=floor.environment())
    assert unwanted.code != 0 and Decimal((await floor.books())["positions"]["SOL"]) > 0
    done = await hypertrader("drill", "emergency-stop", "--yes", env=floor.environment())
    assert done.code == 0, done.err
    for text in ("closed and latched, as in an emergency: ", "portfolio-main: flat, as the exchange said", " s after"):
        assert text in done.out
    assert "hypertrader portfolio release --name main" in done.out and "hypertrader trade release SOL" in done.out
    assert not (await floor.books())["positions"]


async def test_a_drill_is_for_paper_alone(floor: Floor) -> None:
    done = await hypertrader("drill", "emergency-stop", "--yes", "--network", "testnet", env=floor.environment())
    assert (done.code, done.error[:37]) == (1, "network is testnet; drills are for pa")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("skim", "0"), "USD is 0; it must be more than 0"),
        (("exit", "ETH", "--now", "--profit", "5"), "--now closes at once"),
        (("exit", "ETH", "--until", "soon"), "--until is soon"),
        (("exit", "ETH", "--profit", "0"), "--profit is 0; it must be more than 0 USD"),
        (("release", "--reason", " "), "--reason is empty; say what was looked at"),
        (("schedule", "weekly", "--at", "noon"), "--at is noon; a day (sun, mon, "),
    ],
)
async def test_a_bad_option_is_named_with_what_is_allowed(floor: Floor, words: tuple[str, ...], text: str) -> None:
    assert text in await refused(floor, *words)
