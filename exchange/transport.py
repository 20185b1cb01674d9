"""Requests to Hyperliquid through ccxt: one call is one HTTP request, one client span and one sorted error.

All leave by the process's governor, orders and what settles them first. These also have connections of their own, so
that they don't wait behind a read's slow answer either.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from exchange import weights
from exchange.errors import ExchangeError
from exchange.governor import READ_WITHIN_S, Governor, Turn
from exchange.network import Endpoint
from exchange.nonces import wall_ms
from exchange.quiet import TIMEOUT_MS, QuietHyperliquid
from exchange.signing import PrivateKey
from exchange.sorting import sort_exception

URGENT_WITHIN_S = TIMEOUT_MS / 1000
"""An urgent request that could not leave by then is not sent."""

_tracer = trace.get_tracer("hypertrader.exchange")
_MARKETS = {"type": "metaAndAssetCtxs"}


class Transport:
    """Speaks for one account with one key. Cheap to make; connects with the first request."""

    def __init__(self, at: Endpoint, account: str, key: PrivateKey, governor: Governor | None = None) -> None:
        """Without a governor nothing is held back."""
        self.at = at
        self._governor = governor or Governor(None)
        self._trading = QuietHyperliquid(at, account, key)
        self._reading = QuietHyperliquid(at, account, key)

    async def info(self, request: Mapping[str, Any], *, urgent: bool = False) -> Any:
        """The answer of POST /info, as JSON. `urgent` goes before all that is not: what an order in flight waits for.

        Raises NotSent, Rejected or Unknown.
        """
        via = self._trading if urgent else self._reading
        turn = self._question(request, urgent=urgent)
        return await self._call(via.publicPostInfo, "info", request["type"], dict(request), turn)

    async def act(
        self, action: Mapping[str, Any], nonce: int, *, vault: str | None = None, expires_after_ms: int | None = None
    ) -> Any:
        """Sign an L1 action and POST it to /exchange; the raw reply. The same arguments give the same bytes.

        Raises NotSent, Rejected (by HTTP status) or Unknown; refusals in the reply are the caller's to sort.
        """
        body: dict[str, Any] = {
            "action": dict(action),
            "nonce": nonce,
            "signature": self._trading.sign_l1_action(dict(action), nonce, vault, expires_after_ms),
        }
        if vault is not None:
            body["vaultAddress"] = vault
        if expires_after_ms is not None:
            body["expiresAfter"] = expires_after_ms
        attributes = {"hypertrader.nonce": nonce, **_order_attributes(action)}
        turn = self._action(action, expires_after_ms)
        return await self._call(self._trading.privatePostExchange, "exchange", action["type"], body, turn, attributes)

    async def act_as_user(self, action: Mapping[str, Any]) -> Any:
        """Sign a transfer, which carries its own nonce, and POST it; the raw reply. Raises as `act` does."""
        body = {
            "action": dict(action),
            "nonce": action["nonce"],
            "signature": self._trading.sign_transfer(dict(action)),
            "vaultAddress": None,
        }
        attributes = {"hypertrader.nonce": action["nonce"]}
        turn = self._action(action)
        return await self._call(self._trading.privatePostExchange, "exchange", action["type"], body, turn, attributes)

    async def markets(self, *, reload: bool = False) -> dict[str, Any]:
        """ccxt's perpetual markets by symbol; asked for once, or anew with `reload`."""
        if self._reading.markets and not reload:
            return dict(self._reading.markets)
        # Without them nothing can be ordered or cancelled, so the first time is urgent.
        turn = self._question(_MARKETS, urgent=not reload)
        return dict(await self._call(self._reading.load_markets, "info", _MARKETS["type"], reload, turn))

    async def close(self) -> None:
        await self._trading.close()
        await self._reading.close()

    def _question(self, request: Mapping[str, Any], *, urgent: bool) -> AbstractAsyncContextManager[Turn]:
        within_s = URGENT_WITHIN_S if urgent else READ_WITHIN_S
        return self._governor.turn(weights.of_info(request), urgent=urgent, within_s=within_s)

    def _action(
        self, action: Mapping[str, Any], expires_after_ms: int | None = None
    ) -> AbstractAsyncContextManager[Turn]:
        """An action that would arrive after its expiry need not leave."""
        valid_s = URGENT_WITHIN_S if expires_after_ms is None else (expires_after_ms - wall_ms()) / 1000
        within_s = min(URGENT_WITHIN_S, max(valid_s, 0.0))
        return self._governor.turn(weights.of_action(action), urgent=True, within_s=within_s)

    async def _call(
        self,
        send: Any,
        path: str,
        kind: str,
        payload: Any,
        turn: AbstractAsyncContextManager[Turn],
        attributes: Mapping[str, str | int] | None = None,
    ) -> Any:
        with _tracer.start_as_current_span(
            f"POST /{path} {kind}",
            kind=SpanKind.CLIENT,
            record_exception=False,
            set_status_on_exception=False,
            attributes={
                "http.request.method": "POST",
                "url.full": f"{self.at.url}/{path}",
                "hypertrader.network": self.at.network,
                **(attributes or {}),
            },
        ) as span:
            try:
                async with turn as taken:
                    if waited_ms := round(1000 * taken.waited_s):
                        span.set_attribute("hypertrader.budget_waited_ms", waited_ms)
                    return await _sorted(send, payload, taken)
            except ExchangeError as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR, str(error)))
                raise


async def _sorted(send: Any, payload: Any, turn: Turn) -> Any:
    """The answer, or one of the three errors."""
    try:
        answer = await send(payload)
    except Exception as error:  # noqa: BLE001  # whatever ccxt and aiohttp raise is sorted, and unsorted means Unknown
        sorted_error = sort_exception(error)
        raise sorted_error from (error if sorted_error is not error else None)
    turn.came_to(answer)
    return answer


def _order_attributes(action: Mapping[str, Any]) -> dict[str, str | int]:
    match action:
        case {
            "type": "order",
            "orders": [{"a": int(asset), "b": bool(is_buy), "p": str(price), "s": str(size), "c": str(cloid)}],
        }:
            return {
                "hypertrader.cloid": cloid,
                "hypertrader.asset": asset,
                "hypertrader.side": "buy" if is_buy else "sell",
                "hypertrader.size": size,
                "hypertrader.limit_price": price,
            }
        case _:
            return {}
