"""Requests to Hyperliquid through ccxt: one call is one HTTP request, one client span and one sorted error.

ccxt's limiter is one queue in which a list of fills waits half a second. So orders and what settles them go through an
instance of their own, without a limiter; everything else is paced by the other one.
"""

from collections.abc import Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from exchange.network import Endpoint
from exchange.quiet import QuietHyperliquid
from exchange.signing import PrivateKey
from exchange.sorting import sort_exception

_tracer = trace.get_tracer("hypertrader.exchange")


class Transport:
    """Speaks for one account with one key. Cheap to make; connects with the first request."""

    def __init__(self, at: Endpoint, account: str, key: PrivateKey) -> None:
        self.at = at
        self._trading = QuietHyperliquid(at, account, key, rate_limited=False)
        self._reading = QuietHyperliquid(at, account, key, rate_limited=at.budgeted)

    async def info(self, request: Mapping[str, Any], *, urgent: bool = False) -> Any:
        """The answer of POST /info, as JSON. `urgent` passes the limiter's queue: what an order in flight waits for.

        Raises NotSent, Rejected or Unknown.
        """
        via = self._trading if urgent else self._reading
        return await self._call(via.publicPostInfo, "info", request["type"], dict(request))

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
        return await self._call(self._trading.privatePostExchange, "exchange", action["type"], body, attributes)

    async def act_as_user(self, action: Mapping[str, Any]) -> Any:
        """Sign a transfer, which carries its own nonce, and POST it; the raw reply. Raises as `act` does."""
        body = {
            "action": dict(action),
            "nonce": action["nonce"],
            "signature": self._trading.sign_transfer(dict(action)),
            "vaultAddress": None,
        }
        attributes = {"hypertrader.nonce": action["nonce"]}
        return await self._call(self._trading.privatePostExchange, "exchange", action["type"], body, attributes)

    async def markets(self, *, reload: bool = False) -> dict[str, Any]:
        """ccxt's perpetual markets by symbol; asked for once, or anew with `reload`."""
        if self._reading.markets and not reload:
            return dict(self._reading.markets)
        return dict(await self._call(self._reading.load_markets, "info", "metaAndAssetCtxs", reload))

    async def close(self) -> None:
        await self._trading.close()
        await self._reading.close()

    async def _call(
        self, send: Any, path: str, kind: str, payload: Any, attributes: Mapping[str, str | int] | None = None
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
                return await send(payload)
            except Exception as error:  # noqa: BLE001  # whatever ccxt and aiohttp raise is sorted, and unsorted means Unknown
                sorted_error = sort_exception(error)
                span.set_attribute("error.type", type(sorted_error).__name__)
                span.set_status(Status(StatusCode.ERROR, str(sorted_error)))
                raise sorted_error from (error if sorted_error is not error else None)


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
