"""What the journal knows of portfolios and open trades, beside what the exchange has: and how each goes on."""

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

from pydantic import ValidationError
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.messages import Outage, tag_in, tag_of
from cli.errors import CommandFailed
from cli.history import utc
from cli.rebuilding_portfolio import nonces_of, rebuilt_portfolio
from cli.rebuilt import Goes, Rebuilt, RebuiltPortfolio, Survey, Unexplained
from exchange.gateway import HyperliquidGateway
from exchange.nonces import AHEAD_MAX_MS
from exchange.port import AccountFacts, Fill, Intent, Position
from journal.entries import IntentRecord, OutcomeRecord, Standing
from journal.standings import LastKnown
from journal.store import Journal
from strategy.values import plain
from workflows.contracts import Mode, TradeRecord
from workflows.standing import record_of, taken_up

CLOCKS_DIFFER_MS = 60_000
"""Fills are asked for from so much before the journal's last word: which of them it knows is told by their cloids."""
ORDERS_LOOKED_AT = 1_000


async def survey(
    journal: Journal, gateway: HyperliquidGateway, client: Client, network: str, signers: Collection[str] = ()
) -> Survey:
    """`signers`: whose keys are here, where there are more. Changes nothing. Raises CommandFailed where
    this machine's clock is behind the journal."""
    left = still_open(await journal.last_known(), network, gateway.account)
    portfolios = [each for each in left if not each.trade.coin]
    # What they have is known before it is asked whether an opening bought anything.
    trades = sorted((each for each in left if each.trade.coin), key=lambda each: each.standing is None)
    facts = await gateway.account_facts(since_ms=_now_ms())
    held = {position.coin: position for position in facts.positions if position.size}
    trades_of = Counter(each.trade.coin for each in trades)
    surveyor = _Surveyor(journal, gateway, client, facts, trades_of, {gateway.signer, *signers})
    found = [await surveyor.rebuilt(each) for each in trades]
    rebuilt = [each for each in found if each is not None]
    going_on = {each.workflow_id for each in rebuilt if each.goes is not Goes.NOWHERE}
    those = [await surveyor.portfolio(each, going_on) for each in portfolios]
    surveyor.check_clock()
    _compare(rebuilt, held)
    in_trades = {each.coin for each in rebuilt if each.goes is not Goes.NOWHERE}
    unexplained = [Unexplained(coin=coin, size=held[coin].size) for coin in held if coin not in in_trades]
    return Survey(network=network, account=gateway.account, portfolios=those, trades=rebuilt, unexplained=unexplained)


def still_open(known: Iterable[LastKnown], network: str, account: str) -> list[LastKnown]:
    """The newest trade or portfolio of each workflow id, unless it is over: there is one at a time."""
    ours = (each for each in known if (each.trade.network, each.trade.account) == (network, account))
    newest = {each.trade.workflow_id: each for each in ours}
    return [each for each in newest.values() if not _is_over(each)]


def _is_over(known: LastKnown) -> bool:
    """A stopped trade has been closed, and is there until it is released."""
    record = known.standing.record if known.standing is not None else {}
    if not known.trade.coin:
        return bool(record.get("is_over"))
    mode = record.get("mode")
    return mode == Mode.CLOSED or (known.closed and mode != Mode.STOPPED)


class _Surveyor:
    def __init__(
        self,
        journal: Journal,
        gateway: HyperliquidGateway,
        client: Client,
        facts: AccountFacts,
        trades_of: Mapping[str, int],
        signers: Collection[str],
    ) -> None:
        self._journal = journal
        self._gateway = gateway
        self._client = client
        self._facts = facts
        self._trades_of = trades_of
        """How many there are on a coin."""
        self._signers = signers
        self._claimed: dict[str, Decimal] = defaultdict(Decimal)
        """By coin, what the trades seen so far have."""
        self._running: set[str] = set()
        """Coins on which a trade runs: it compares for itself."""
        self._newest_ms = 0
        """Of all that happened by the journal, and of all nonces: they are times."""

    def check_clock(self) -> None:
        now_ms = _now_ms()
        if self._newest_ms > now_ms:
            # By this clock, nonces that were used would be drawn again.
            raise CommandFailed(
                f"the journal goes on to {utc(self._newest_ms)} and this machine's clock says {utc(now_ms)}: set the "
                f"clock, or try again in {(self._newest_ms - now_ms) / 1000:.0f} s"
            )

    async def rebuilt(self, known: LastKnown) -> Rebuilt | None:
        """None of an opening that came to nothing."""
        trade, held = known.trade, _held(self._facts.positions, known.trade.coin)
        self._newest_ms = max(self._newest_ms, known.newest_ms, known.standing.at_ms if known.standing else 0)
        found = Rebuilt(
            workflow_id=trade.workflow_id,
            trade_id=trade.trade_id,
            coin=trade.coin,
            as_of_ms=known.newest_ms,
            goes=Goes.NOWHERE,
            held=held,
        )
        unclaimed = Decimal(0) if trade.coin in self._running else held - self._claimed[trade.coin]
        if known.standing is None and not (known.opened or unclaimed):
            return None
        if await self._runs(trade.workflow_id):
            self._running.add(trade.coin)
            return found.model_copy(update={"goes": Goes.ALREADY})
        if known.standing is None:
            why = _why_it_is_lost(known, unclaimed, is_alone=self._trades_of[trade.coin] == 1)
            return found.model_copy(update={"why": why})
        try:
            record = record_of(trade, known.standing)
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"]))
            return found.model_copy(update={"why": f"{where} was written by a newer release: use that one"})
        if record.signer not in self._signers:
            here = " and ".join(sorted(self._signers))
            why = f"its orders are signed by {record.signer}, the key here is {here}: bring that key as a further line"
            return found.model_copy(update={"why": why})
        return await self._with_record(found, known.newest_seq, known.standing, record)

    async def portfolio(self, known: LastKnown, trades: Collection[str]) -> RebuiltPortfolio:
        """`trades` go on."""

        async def is_there(workflow_id: str) -> bool:
            return workflow_id in trades or await self._runs(workflow_id)

        found = await rebuilt_portfolio(known, self._signers, _now_ms(), is_there)
        self._newest_ms = max(self._newest_ms, known.newest_ms, found.as_of_ms, *nonces_of(found))
        return found

    async def _with_record(self, found: Rebuilt, newest_seq: int, standing: Standing, record: TradeRecord) -> Rebuilt:
        state, on_their_way = record.state, record.on_their_way
        assert state is not None
        news = await self._news(found, standing, record)
        missed = [fill for fill in news if fill.cloid not in {*on_their_way, *record.stop_cloids}]
        cloids = [order.cloid for order in self._facts.resting if order.cloid is not None]
        resting = [cloid for cloid in cloids if tag_in(cloid) == tag_of(found.trade_id)]
        lost = Outage(who="temporal", from_ms=standing.at_ms, to_ms=_now_ms())
        net = state.ledger.net_qty + sum((fill.size for fill in news), Decimal(0))
        self._claimed[found.coin] += net
        record = taken_up(record, lost, max(record.next_seq, newest_seq + 1), missed=missed, resting=resting)
        return found.model_copy(
            update={
                "as_of_ms": standing.at_ms,
                "goes": Goes.TO_ATTENTION if record.mode is Mode.ATTENTION else Goes.ON,
                "why": record.attention or "",
                "mode": record.mode,
                "phase": state.phase,
                "unit": state.current_unit,
                "cycle": state.cycle,
                "long": state.ledger.long_qty,
                "short": state.ledger.short_qty,
                "net": net,
                "unresolved": [await self._words(*each) for each in on_their_way.items()],
                "record": record,
            }
        )

    async def _news(self, found: Rebuilt, standing: Standing, record: TradeRecord) -> list[Fill]:
        """Fills of the trade's own orders that are not in its ledger yet."""
        lines = await self._journal.history(found.trade_id, kinds=("intent", "outcome"), limit=ORDERS_LOOKED_AT)
        entries = [line.entry for line in lines]
        booked = [entry for entry in entries if isinstance(entry, OutcomeRecord) and entry.seq <= standing.seq]
        ended = {entry.cloid for entry in booked} - {*record.stop_cloids}
        since_ms = min(standing.at_ms, record.agreed_ms, *(intent.nonce for intent in record.on_their_way.values()))
        fills = await self._gateway.fills(since_ms=since_ms - CLOCKS_DIFFER_MS)
        ours = [fill for fill in fills if fill.coin == found.coin and tag_in(fill.cloid) == tag_of(found.trade_id)]
        nonces = [entry.nonce for entry in entries if isinstance(entry, IntentRecord)]
        self._newest_ms = max([self._newest_ms, *nonces, *(_nonce_of(fill) for fill in ours)])
        return [fill for fill in ours if fill.cloid not in ended and fill.tid not in record.stop_tids]

    async def _words(self, cloid: str, intent: Intent) -> str:
        found = await self._gateway.order_by_cloid(cloid)
        wanted = f"{intent.side} {plain(intent.size):f} {intent.coin}, sent to expire at {utc(intent.expires_after_ms)}"
        if found is None:
            return f"{wanted}: the exchange does not know it"
        return f"{wanted}: {found.status}, {plain(found.original_size - found.remaining_size):f} filled"

    async def _runs(self, workflow_id: str) -> bool:
        try:
            found = await self._client.get_workflow_handle(workflow_id).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return found.status is WorkflowExecutionStatus.RUNNING


def _compare(trades: Sequence[Rebuilt], held: Mapping[str, Position]) -> None:
    """The exchange nets all trades of a coin into one position. One that runs compares for itself."""
    of_coin: dict[str, list[Rebuilt]] = defaultdict(list)
    for each in trades:
        of_coin[each.coin].append(each)
    for coin, those in of_coin.items():
        for trade in those:
            reasons = list(_differences(trade, those, held.get(coin)))
            if trade.goes in (Goes.ON, Goes.TO_ATTENTION) and reasons:
                trade.goes = Goes.TO_ATTENTION
                trade.why = "; ".join(filter(None, [trade.why, *reasons]))


def _differences(trade: Rebuilt, of_coin: Sequence[Rebuilt], held: Position | None) -> Iterator[str]:
    if trade.record is None or trade.record.state is None:
        return
    size = held.size if held is not None else Decimal(0)
    wanted = sum((each.net for each in of_coin if each.net is not None), Decimal(0))
    if wanted != size and not any(each.goes is Goes.ALREADY for each in of_coin):
        yield f"the exchange holds {plain(size):f} {trade.coin}, the journal has {plain(wanted):f}"
    leverage = trade.record.state.terms.leverage
    if held is not None and held.leverage not in (None, leverage):
        yield f"leverage is {held.leverage}x, the trade's is {leverage}x"


def _why_it_is_lost(known: LastKnown, unclaimed: Decimal, *, is_alone: bool) -> str:
    coin = known.trade.coin
    what = (
        "a former release wrote its journal, and kept no record beside it"
        if known.opened
        else "it was opening, and what it bought is not in the journal"
    )
    cure = "start anew"
    if unclaimed and is_alone:
        cure = f"close what is there (hypertrader exchange close {coin}) and start anew"
    elif unclaimed:
        cure = f"{plain(unclaimed):f} {coin} is of no other trade: answer that in one of them and start anew"
    return f"{what}: {cure}"


def _nonce_of(fill: Fill) -> int:
    """Its cloid's second half; 0 of an older order, whose was random."""
    number = int(fill.cloid[18:], 16) if fill.cloid is not None else 0
    return number if number <= _now_ms() + AHEAD_MAX_MS else 0


def _held(positions: Iterable[Position], coin: str) -> Decimal:
    return next((position.size for position in positions if position.coin == coin), Decimal(0))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
