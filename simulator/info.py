"""`POST /info`: which function answers which request type, and which fields it needs."""

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from simulator import account_info as accounts
from simulator import market_info as markets
from simulator.candles import Candles
from simulator.query import BadRequest, InfoRequest, Query
from simulator.venue import Venue

Json = Any


class Info:
    """`answer(body)` gives the JSON value to send."""

    def __init__(self, venue: Venue, candles: Candles) -> None:
        self.venue = venue
        self.candles = candles

    def answer(self, body: object) -> Json:
        """Raises BadRequest."""
        try:
            request = InfoRequest.model_validate(body)
        except ValidationError as error:
            raise BadRequest(str(error.errors(include_url=False, include_input=False))) from error
        known = ANSWERS.get(request.type)
        if known is None:
            raise BadRequest(f"type is {request.type}: allowed are {', '.join(sorted(ANSWERS))}")
        function, needs = known
        missing = [name for name in needs if getattr(request, name) is None]
        if missing:
            raise BadRequest(f"{request.type} needs {', '.join(missing)}")
        return function(Query(request, self.venue, self.candles))


ANSWERS: dict[str, tuple[Callable[[Query], Json], tuple[str, ...]]] = {
    "meta": (markets.meta, ()),
    "metaAndAssetCtxs": (markets.meta_and_contexts, ()),
    "perpDexs": (markets.perp_dexs, ()),
    "spotMeta": (markets.spot_meta, ()),
    "spotMetaAndAssetCtxs": (markets.spot_meta_and_contexts, ()),
    "allMids": (markets.all_mids, ()),
    "l2Book": (markets.l2_book, ("coin",)),
    "recentTrades": (markets.recent_trades, ("coin",)),
    "candleSnapshot": (markets.candles, ("req",)),
    "fundingHistory": (markets.funding_history, ("coin", "startTime")),
    "clearinghouseState": (accounts.clearinghouse, ("user",)),
    "spotClearinghouseState": (accounts.spot_clearinghouse, ("user",)),
    "openOrders": (accounts.open_orders, ("user",)),
    "frontendOpenOrders": (accounts.frontend_orders, ("user",)),
    "orderStatus": (accounts.order_status, ("user", "oid")),
    "historicalOrders": (accounts.historical_orders, ("user",)),
    "userFills": (accounts.fills, ("user",)),
    "userFillsByTime": (accounts.fills_by_time, ("user", "startTime")),
    "userFunding": (accounts.funding, ("user",)),
    "userNonFundingLedgerUpdates": (accounts.ledger, ("user",)),
    "userFees": (accounts.fees, ("user",)),
    "userRateLimit": (accounts.rate_limit, ("user",)),
    "userRole": (accounts.role, ("user",)),
    "subAccounts": (accounts.sub_accounts, ("user",)),
    "extraAgents": (accounts.agents, ("user",)),
    "userAbstraction": (accounts.abstraction, ("user",)),
    "maxBuilderFee": (accounts.builder_fee, ("user", "builder")),
    "exchangeStatus": (markets.exchange_status, ()),
    "activeAssetData": (accounts.active_asset, ("user", "coin")),
}
