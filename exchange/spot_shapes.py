"""From Hyperliquid's answers about spot and about money to the port's values. Pure; another shape is Unknown."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from exchange.errors import Rejected
from exchange.port import Balance
from exchange.shapes import MIN_NOTIONAL_USD, shape_of
from exchange.spot_port import LedgerUpdate, SpotRules

SPOT_ASSETS = 10_000
USDC = "USDC"
USDC_INDEX = 0
UNIT_TOKENS = {"BTC": "UBTC", "ETH": "UETH", "SOL": "USOL"}
"""What a coin that is at home elsewhere is called on this exchange's spot side."""

Pair = Mapping[str, Any]
ZERO = Decimal(0)


def pair_of(meta: Any, name: str) -> tuple[Pair, Mapping[str, Any]]:
    """The pair against USDC, and its token, for `ETH`, `UETH`, `UETH/USDC` or `@151`. Raises Rejected."""
    with shape_of("spotMeta"):
        tokens = {row["index"]: row for row in meta["tokens"]}
        pairs = [row for row in meta["universe"] if row["tokens"][1] == USDC_INDEX]
        wanted = name.split("/")[0].lower()
        wanted = UNIT_TOKENS.get(wanted.upper(), wanted).lower()
        named = [row for row in pairs if row["name"].lower() == name.lower()]
        found = named or [row for row in pairs if tokens[row["tokens"][0]]["name"].lower() == wanted]
        if len(found) == 1:
            return found[0], tokens[found[0]["tokens"][0]]
    if found:
        raise Rejected(f"coin {name} is {len(found)} tokens on spot: name its pair, as {found[0]['name']}")
    raise Rejected(f"coin {name} has no spot pair against USDC, as HYPE, UBTC, UETH and USOL have")


def spot_rules(answer: Any, fees: Any, name: str) -> SpotRules:
    """From `spotMetaAndAssetCtxs` and `userFees`. Raises Rejected for a coin without a pair."""
    with shape_of("spotMetaAndAssetCtxs"):
        meta, contexts = answer
    pair, token = pair_of(meta, name)
    with shape_of("spotMetaAndAssetCtxs"):
        # Not by place: the numbers of pairs have gaps.
        context = next(each for each in contexts if each["coin"] == pair["name"])
        mark, mid = Decimal(context["markPx"]), context["midPx"]
        return SpotRules(
            coin=pair["name"],
            asset=SPOT_ASSETS + pair["index"],
            token=token["name"],
            token_index=token["index"],
            size_decimals=token["szDecimals"],
            min_notional_usd=MIN_NOTIONAL_USD,
            mark_price=mark,
            mid_price=mark if mid is None else Decimal(mid),
            taker_fee_rate=Decimal(fees["userSpotCrossRate"]),
            maker_fee_rate=Decimal(fees["userSpotAddRate"]),
        )


def balances(state: Any) -> dict[int, Balance]:
    """From `spotClearinghouseState`, by the token's index; it leaves out what is not owned."""
    with shape_of("spotClearinghouseState"):
        return {row["token"]: _balance(row) for row in state["balances"]}


def _balance(row: Mapping[str, Any]) -> Balance:
    total, hold = Decimal(row["total"]), Decimal(row["hold"])
    return Balance(currency=row["coin"], total=total, used=hold, free=total - hold)


def ledger_updates(rows: Any, account: str) -> tuple[LedgerUpdate, ...]:
    """From `userNonFundingLedgerUpdates`, oldest first."""
    with shape_of("ledger"):
        return tuple(sorted((_update(row, account) for row in rows), key=lambda update: update.time_ms))


def _update(row: Mapping[str, Any], account: str) -> LedgerUpdate:
    delta = row["delta"]
    usd, perp_usd = _amounts(delta, account)
    return LedgerUpdate(time_ms=row["time"], hash=row["hash"], kind=delta["type"], usd=usd, perp_usd=perp_usd)


def _amounts(delta: Mapping[str, Any], account: str) -> tuple[Decimal | None, Decimal | None]:
    """(from outside, on the perpetuals side)"""
    match delta["type"]:
        case "deposit":
            return _same(Decimal(delta["usdc"]))
        case "withdraw":
            return _same(-Decimal(delta["usdc"]) - Decimal(delta.get("fee", 0)))
        case "accountClassTransfer":
            usd = Decimal(delta["usdc"])
            return ZERO, usd if delta["toPerp"] else -usd
        case "internalTransfer" | "subAccountTransfer":
            return _same(_received(delta, account, Decimal(delta["usdc"])))
        case "vaultDeposit":
            return _same(-Decimal(delta["usdc"]))
        case "vaultWithdraw":
            return _same(Decimal(delta["netWithdrawnUsd"]))
        case "spotTransfer":
            return _received(delta, account, Decimal(delta["usdcValue"])), ZERO
        case "send":
            return _received(delta, account, Decimal(delta["usdcValue"])), _sent_perp(delta, account)
        case "liquidation":
            # What it cost is in its fills.
            return _same(ZERO)
        case _:
            return None, None


def _same(usd: Decimal) -> tuple[Decimal, Decimal]:
    return usd, usd


def _received(delta: Mapping[str, Any], account: str, usd: Decimal) -> Decimal:
    """Positive for who gets it, negative, with the fee, for who sends it, and only the fee for who is both."""
    fee = Decimal(delta.get("fee", 0)) if delta.get("feeToken") in (None, "", USDC) else ZERO
    got = usd if delta["destination"].lower() == account else ZERO
    gave = usd + fee if delta["user"].lower() == account else ZERO
    return got - gave


def _sent_perp(delta: Mapping[str, Any], account: str) -> Decimal:
    """Of a send, what left or reached the main perpetuals side, whose name is empty."""
    amount = Decimal(delta["amount"])
    got = delta["destination"].lower() == account and delta["destinationDex"] == ""
    gave = delta["user"].lower() == account and delta["sourceDex"] == ""
    return (amount if got else ZERO) - (amount if gave else ZERO)
