"""`hypertrader compare` and `backtest --plan`: plans over recorded prices."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Finished, hypertrader

PLANS = {
    "ladder": {"--strategy": "v6", "--unit-size": "2", "--size": "margin 1000"},
    "risky": {"--strategy": "v7", "--unit-size": "2", "--size": "risk 100"},
    "hedge": {"--strategy": "fibonacci", "--unit-size": "0.5", "--size": "1000", "--stop-price": "104"},
}


@pytest.fixture
async def env(tmp_path: Path) -> dict[str, str]:
    """Three plans are kept; the price goes from 110 to 125, down to 100 and up to 112, a minute a cent of ten."""
    env = {"HYPERTRADER_STATE_DIR": str(tmp_path / "state")}
    for name, terms in PLANS.items():
        words = [word for pair in terms.items() for word in pair]
        asked = ("plan", "new", "--defaults", "--yes", "--price", "110", "--name", name, "--coin", "ETH", *words)
        assert (await hypertrader(*asked, env=env)).code == 0
    cents = [*range(11000, 12500, 10), *range(12500, 10000, -10), *range(10000, 11200, 10)]
    rows = (f"{1_750_000_000_000 + 60_000 * minute},{cent / 100:.2f}\n" for minute, cent in enumerate(cents))
    (tmp_path / "prices.csv").write_text("ts,price\n" + "".join(rows), "utf-8")
    return env


async def compared(env: dict[str, str], tmp_path: Path, *words: str) -> Finished:
    return await hypertrader("compare", *words, "--prices", str(tmp_path / "prices.csv"), env=env)


async def test_plans_stand_beside_each_other_and_what_ended_one_is_said(env: dict[str, str], tmp_path: Path) -> None:
    picture = tmp_path / "plans.png"
    done = await compared(env, tmp_path, "ladder", "risky@1", "hedge", "--plot", str(picture))
    assert done.code == 0, done.err
    rows = {line.split()[0]: line for line in done.out.splitlines()[1:]}
    assert list(rows) == ["ladder", "risky@1", "hedge", "held"]
    assert rows["hedge"].rstrip().endswith("stop_price is 104; the price is 104")
    assert picture.read_bytes().startswith(b"\x89PNG")


async def test_each_is_what_its_own_backtest_says(env: dict[str, str], tmp_path: Path) -> None:
    done = await compared(env, tmp_path, "ladder", "risky", "hedge", "--json", "--slippage-bps", "2")
    for seen in json.loads(done.out):
        name = seen.pop("plan")
        assert seen.pop("refused") == []
        words = ("backtest", str(tmp_path / "prices.csv"), "--plan", name, "--slippage-bps", "2", "--json")
        assert json.loads((await hypertrader(*words, env=env)).out) == seen
    by_options = ("--coin", "ETH", "--margin", "1000", "--unit-size", "2", "--slippage-bps", "2", "--json")
    alone = json.loads((await hypertrader("backtest", str(tmp_path / "prices.csv"), *by_options, env=env)).out)
    assert alone["decisions_sha256"] == json.loads(done.out)[0]["decisions_sha256"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ladder", "sol"), "PLAN is ladder, sol: they trade ETH and SOL, and the prices are of one coin"),
        (("share",), "plan share at 110: size.portfolio_share is 0.1, of 0 USD free: that is a margin of 0 USD"),
        (("ladder", "--plot", "plans.gif"), "--plot is plans.gif; its name must end in .png, .svg or .pdf"),
    ],
)
async def test_what_cannot_be_compared_is_one_line(
    env: dict[str, str], tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    for name, coin, size in (("sol", "SOL", "1000"), ("share", "ETH", "share 0.1")):
        more = ("--name", name, "--coin", coin, "--size", size)
        await hypertrader("plan", "new", "--defaults", "--price", "110", "--free", "900", *more, env=env)
    refused = await compared(env, tmp_path, *words)
    assert (refused.code, refused.out) == (2, "")
    assert refused.error.startswith(said)


async def test_a_plan_that_is_not_kept_and_options_beside_a_plan_are_refused(
    env: dict[str, str], tmp_path: Path
) -> None:
    unknown = await compared(env, tmp_path, "ladder", "nothing")
    assert (unknown.code, unknown.error.split(";")[0]) == (1, "plan nothing is not kept here")
    words = ("backtest", str(tmp_path / "prices.csv"), "--plan", "ladder", "--margin", "5")
    twice = await hypertrader(*words, env=env)
    assert (twice.code, twice.error) == (2, "--margin is 5; with --plan it must be left out")


async def test_what_would_be_refused_live_is_said(env: dict[str, str], tmp_path: Path) -> None:
    more = ("--name", "tight", "--coin", "ETH", "--unit-size", "0.2", "--size", "1000")
    await hypertrader("plan", "new", "--defaults", "--price", "110", *more, env=env)
    done = await compared(env, tmp_path, "tight")
    assert "tight would be refused live: unit size is 0.2: a round trip costs" in done.out
