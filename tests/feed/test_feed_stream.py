import asyncio
import json
import logging
from dataclasses import replace
from decimal import Decimal

import pytest

from feed.stream import PriceStream, StreamState
from feed.subscription import FeedError, Subscription, UnknownCoin
from feed.tasks import end
from simulator.matching import move_price
from simulator.server import Simulator
from tests.feed.harness import FAST, ScriptedExchange, until


class Prices:
    """All prices a subscription gave so far."""

    def __init__(self, trades: Subscription) -> None:
        self.seen: list[str] = []
        self._task = asyncio.create_task(self._read(trades))

    async def _read(self, trades: Subscription) -> None:
        async for trade in trades:
            self.seen.append(str(trade.price))

    async def of(self, *prices: str) -> None:
        """Wait until these were seen, and nothing else was."""
        await until(lambda: len(self.seen) >= len(prices))
        assert self.seen == list(prices)

    async def stop(self) -> None:
        await end(self._task)

    async def error(self) -> BaseException | None:
        await asyncio.wait([self._task])
        return self._task.exception()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_trades_come_once_and_in_order_through_disconnects(exchange: ScriptedExchange) -> None:
    expected: list[str] = []
    async with PriceStream(exchange.ws_url, timing=FAST) as stream, stream.trades("ETH") as trades:
        prices = Prices(trades)
        for round_ in range(4):
            await until(lambda: "ETH" in exchange.followed())
            for step in range(10):
                price = f"{3450 + round_}.{step}"
                # Half of them happen while nobody is connected: they are in the replay.
                await exchange.trade("ETH", price, tell=step < 5)
                expected.append(price)
            await until(lambda: len(prices.seen) >= len(expected) - 5)
            exchange.kick()
            await prices.of(*expected)
        assert stream.health.connections >= 4
        assert stream.health.state is StreamState.LIVE
        await prices.stop()


async def test_a_gap_that_the_replay_does_not_cover_is_marked(exchange: ScriptedExchange) -> None:
    async with PriceStream(exchange.ws_url, timing=FAST) as stream, stream.trades("ETH") as trades:
        prices = Prices(trades)
        await until(lambda: "ETH" in exchange.followed())
        await exchange.trade("ETH", "3450")
        await prices.of("3450")
        for number in range(40):
            await exchange.trade("ETH", f"{3451 + number}", tell=False)
        exchange.kick()
        await prices.of("3450", *(f"{3451 + number}" for number in range(10, 40)))
        assert [str(trade.price) for trade in stream.heard("ETH") if trade.after_gap] == ["3461"]
        await prices.stop()


async def test_one_connection_serves_all_coins_and_consumers(exchange: ScriptedExchange) -> None:
    async with PriceStream(exchange.ws_url, timing=FAST) as stream:
        async with stream.trades("ETH") as first, stream.trades("BTC") as btc:
            early, of_btc = Prices(first), Prices(btc)
            await until(lambda: exchange.followed() == {"ETH", "BTC"})
            await exchange.trade("ETH", "3450")
            await exchange.trade("BTC", "85000")
            await early.of("3450")
            async with stream.trades("ETH") as second:
                late = Prices(second)
                await late.of("3450")
                await exchange.trade("ETH", "3451")
                await late.of("3450", "3451")
                await late.stop()
            await early.of("3450", "3451")
            await of_btc.of("85000")
            await early.stop()
            await of_btc.stop()
        assert exchange.connections == 1
        assert exchange.asked("subscribe", "ETH") == 1


async def test_a_coin_nobody_follows_is_let_go_after_a_while(exchange: ScriptedExchange) -> None:
    async with PriceStream(exchange.ws_url, timing=FAST) as stream, stream.trades("BTC"):
        async with stream.trades("ETH"):
            await until(lambda: exchange.followed() == {"ETH", "BTC"})
        await until(lambda: exchange.followed() == {"BTC"})
        assert exchange.asked("unsubscribe", "ETH") == 1
        async with stream.trades("ETH"):
            await until(lambda: exchange.followed() == {"ETH", "BTC"})
    assert exchange.connections == 1


async def test_a_follower_that_comes_back_at_once_misses_nothing(exchange: ScriptedExchange) -> None:
    timing = replace(FAST, linger_s=30)
    async with PriceStream(exchange.ws_url, timing=timing) as stream:
        async with stream.trades("ETH"):
            await until(lambda: "ETH" in exchange.followed())
        for number in range(100):
            await exchange.trade("ETH", f"{3450 + number}")
        await until(lambda: (stream.health.trade_age_s.get("ETH") or 9) < 9)
        async with stream.trades("ETH") as trades:
            prices = Prices(trades)
            await prices.of(*(f"{3450 + number}" for number in range(100)))
            await prices.stop()
        assert exchange.asked("subscribe", "ETH") == 1


async def test_a_silent_connection_is_replaced_and_told(
    exchange: ScriptedExchange, caplog: pytest.LogCaptureFixture
) -> None:
    async with PriceStream(exchange.ws_url, timing=FAST) as stream, stream.trades("ETH") as trades:
        prices = Prices(trades)
        await until(lambda: "ETH" in exchange.followed())
        exchange.deaf = True
        await until(lambda: stream.health.state is StreamState.STALE)
        assert any("not even a pong" in message for message in warnings(caplog))
        exchange.deaf = False
        await exchange.trade("ETH", "3450")
        await prices.of("3450")
        await prices.stop()


async def test_a_connection_that_was_deaf_for_a_while_is_not_trusted(exchange: ScriptedExchange) -> None:
    """What was sent meanwhile is lost, and no later trade would ever tell."""
    timing = replace(FAST, deaf_after_s=0.2, stale_after_s=30, quiet_coin_s=30)
    async with PriceStream(exchange.ws_url, timing=timing) as stream, stream.trades("ETH") as trades:
        prices = Prices(trades)
        await until(lambda: "ETH" in exchange.followed())
        exchange.deaf = True
        await exchange.trade("ETH", "3450")
        pings = exchange.asked("ping")
        await until(lambda: exchange.asked("ping") >= pings + 10)
        exchange.deaf = False
        await prices.of("3450")
        await prices.stop()


async def test_pongs_alone_keep_a_quiet_connection(exchange: ScriptedExchange) -> None:
    async with PriceStream(exchange.ws_url, timing=FAST) as stream, stream.trades("ETH"):
        await until(lambda: exchange.asked("ping") >= 3 * FAST.stale_after_s / FAST.ping_interval_s)
        assert exchange.connections == 1
        assert (stream.health.message_age_s or 9) < FAST.stale_after_s


async def test_a_subscription_the_exchange_lost_comes_back(exchange: ScriptedExchange) -> None:
    async with PriceStream(exchange.ws_url, timing=FAST) as stream, stream.trades("ETH") as trades:
        prices = Prices(trades)
        await until(lambda: "ETH" in exchange.followed())
        for coins in exchange.subscribed.values():
            coins.clear()
        await exchange.trade("ETH", "3450")
        await prices.of("3450")
        assert exchange.connections == 1
        # So does a single trade that was lost on a live one.
        await exchange.trade("ETH", "3451", tell=False)
        await prices.of("3450", "3451")
        assert exchange.connections == 1
        await prices.stop()


async def test_frames_that_are_not_understood_are_told_once_and_do_no_harm(
    exchange: ScriptedExchange, caplog: pytest.LogCaptureFixture
) -> None:
    bad = ["Websocket connection established.", "[]", "{}", '{"channel":"trades"}', '{"channel":"trades","data":[1]}']
    bad += ['{"channel":"subscriptionResponse","data":null}', '{"channel":"error","data":"Already subscribed: x"}', "3"]
    async with PriceStream(exchange.ws_url, timing=FAST) as stream, stream.trades("ETH") as trades:
        prices = Prices(trades)
        await until(lambda: "ETH" in exchange.followed())
        for frame in bad * 3:
            await exchange.send(frame, "ETH")
        await exchange.trade("ETH", "3450")
        await prices.of("3450")
        assert exchange.connections == 1
        assert len([message for message in warnings(caplog) if "not understood" in message]) == 1
        await prices.stop()


async def test_an_unlisted_coin_fails_alone_without_a_listing(exchange: ScriptedExchange) -> None:
    async with PriceStream(exchange.ws_url, timing=FAST) as stream, stream.trades("ETH") as trades:
        prices = Prices(trades)
        await until(lambda: "ETH" in exchange.followed())
        async with stream.trades("AAA") as wrong:
            error = await Prices(wrong).error()
        assert isinstance(error, UnknownCoin) and "AAA" in str(error)
        await until(lambda: "ETH" in exchange.followed())
        await exchange.trade("ETH", "3450")
        await prices.of("3450")
        assert stream.health.coins == ("ETH",)
        await prices.stop()


async def test_a_coin_that_is_delisted_under_way_fails_alone(exchange: ScriptedExchange) -> None:
    async with PriceStream(exchange.ws_url, timing=FAST) as stream:
        async with stream.trades("ETH") as eth, stream.trades("SOL") as sol:
            prices, doomed = Prices(eth), Prices(sol)
            await until(lambda: exchange.followed() == {"ETH", "SOL"})
            exchange.coins.discard("SOL")
            exchange.kick()
            assert isinstance(await doomed.error(), UnknownCoin)
            await until(lambda: exchange.followed() == {"ETH"})
            await exchange.trade("ETH", "3450")
            await prices.of("3450")
            await prices.stop()


async def test_an_invalid_subscription_fails_its_coin_at_once(exchange: ScriptedExchange) -> None:
    async with PriceStream(exchange.ws_url, timing=FAST) as stream, stream.trades("ETH") as trades:
        prices = Prices(trades)
        await until(lambda: "ETH" in exchange.followed())
        text = f"Invalid subscription {json.dumps({'type': 'trades', 'coin': 'ETH'})}"
        await exchange.send(json.dumps({"channel": "error", "data": text}), "ETH")
        assert isinstance(await prices.error(), UnknownCoin)


async def test_the_listing_keeps_a_wrong_coin_off_the_socket(simulator: Simulator) -> None:
    async with PriceStream(simulator.ws_url, info_url=f"{simulator.url}/info", timing=FAST) as stream:
        async with stream.trades("ETH") as trades:
            first = await anext(trades)
            assert first.coin == "ETH" and first.price > 0
            with pytest.raises(UnknownCoin, match=r"coin is ETHH: .* near are ETH"):
                async with stream.trades("ETHH"):
                    raise AssertionError("entered")
            assert stream.health.connections == 1


async def test_a_listing_that_does_not_answer_holds_nothing_up(
    exchange: ScriptedExchange, caplog: pytest.LogCaptureFixture
) -> None:
    async with PriceStream(exchange.ws_url, info_url="http://127.0.0.1:9/info", timing=FAST) as stream:
        async with stream.trades("ETH") as trades, stream.trades("BTC"):
            prices = Prices(trades)
            await until(lambda: exchange.followed() == {"ETH", "BTC"})
            await exchange.trade("ETH", "3450")
            await prices.of("3450")
            assert len([message for message in warnings(caplog) if "Could not look the coin up" in message]) == 1
            await prices.stop()


async def test_an_exchange_that_is_away_is_waited_for(exchange: ScriptedExchange) -> None:
    exchange.away = True
    async with PriceStream(exchange.ws_url, timing=FAST) as stream, stream.trades("ETH") as trades:
        prices = Prices(trades)
        await until(lambda: exchange.connections >= 6)
        await until(lambda: stream.health.state is StreamState.CONNECTING)
        exchange.away = False
        await until(lambda: "ETH" in exchange.followed())
        await exchange.trade("ETH", "3450")
        await prices.of("3450")
        await prices.stop()


async def test_nobody_waits_for_a_stream_that_has_ended(exchange: ScriptedExchange) -> None:
    async with PriceStream(exchange.ws_url, timing=FAST) as stream:
        trades = stream.trades("ETH")
        await trades.__aenter__()
    with pytest.raises(FeedError):
        await anext(trades)
    with pytest.raises(FeedError):
        await stream.trades("ETH").__aenter__()


async def test_the_simulators_prices_are_the_ones_seen(simulator: Simulator) -> None:
    async with PriceStream(simulator.ws_url, info_url=f"{simulator.url}/info", timing=FAST) as stream:
        async with stream.trades("ETH") as trades:
            opening = await anext(trades)
            wanted = [opening.price + Decimal(step) for step in (1, 2, -3, 4, 0)]
            for price in wanted:
                move_price(simulator.venue, "ETH", price)
                simulator.commit()
            assert [(await anext(trades)).price for _ in wanted] == wanted
