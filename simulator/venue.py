"""The venue's whole state, and the two ledgers of what changed in it: events for subscribers, changes for the store.

Everything runs on one event loop and nothing here waits, so each request is applied as a whole or not at all.
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from simulator.book import Book, mid_of, open_orders
from simulator.config import SimulatorConfig
from simulator.events import Event, OrderChanged, Traded
from simulator.funding_rates import HOUR_MS
from simulator.listings import LISTED
from simulator.markets import MARKETS
from simulator.nonces import Nonces
from simulator.records import ZERO, Account, Fill, FundingPayment, FundingRate, LedgerEntry, Order, Trade
from simulator.wire import digest, made_address, number

ORDERS_KEPT = 2000
"""How many of an account's newest orders `orderStatus` and `historicalOrders` still know."""
TRADES_KEPT = 30
RATES_KEPT = 500
TIDS_PER_MS = 500
FIRST_OID = 59_000_000_000


@dataclass(slots=True)
class Changes:
    """Records that differ from what the store holds."""

    accounts: set[str] = field(default_factory=set)
    orders: set[int] = field(default_factory=set)
    fills: list[Fill] = field(default_factory=list)
    nonces: list[tuple[str, int, int | None]] = field(default_factory=list)
    """(signer, nonce used, nonce that fell out)."""
    prices: set[str] = field(default_factory=set)
    fundings: list[FundingPayment] = field(default_factory=list)
    rates: list[FundingRate] = field(default_factory=list)
    funded_hour: bool = False


class Venue:
    """Accounts, books and records, with the few operations every part shares. Rules are in `matching` and `actions`."""

    def __init__(self, config: SimulatorConfig, *, simulated_ms: Callable[[], int] | None = None) -> None:
        self.config = config
        self._simulated_ms = simulated_ms
        self.accounts: dict[str, Account] = {}
        self.agents: dict[str, str] = {}
        """Agent address -> master."""
        self.nonces = Nonces()
        self.orders: dict[int, Order] = {}
        self.orders_of: dict[str, deque[int]] = defaultdict(lambda: deque(maxlen=ORDERS_KEPT))
        self.oid_by_cloid: dict[tuple[str, str], int] = {}
        """Newest order of that cloid: one may be used again, also while another of the same is open."""
        self.fills_of: dict[str, list[Fill]] = defaultdict(list)
        self.fundings_of: dict[str, list[FundingPayment]] = defaultdict(list)
        self.rates_of: dict[str, deque[FundingRate]] = defaultdict(lambda: deque(maxlen=RATES_KEPT))
        self.funded_hour_ms: int | None = None
        """The last full hour of market time whose funding was paid."""
        self.tape: dict[str, deque[Trade]] = {coin: deque(maxlen=TRADES_KEPT) for coin in LISTED}
        self.marks: dict[str, Decimal] = {}
        """Mark price where it was set apart from the book."""
        self.oracles: dict[str, Decimal] = {}
        self.bases: dict[str, Decimal] = {}
        """By how much of its perpetual's price a spot pair stands above it, where it does."""
        self.day_volume: dict[str, Decimal] = defaultdict(Decimal)
        self.books = {
            market.coin: Book(
                market,
                config.depth_by_coin.get(market.coin, config.depth),
                market.round_price(config.prices.get(market.coin, market.reference_price)),
            )
            for market in LISTED.values()
        }
        self.waiting: dict[int, Order] = {}
        """Trigger orders that have not fired: on no book, and without margin."""
        self.last_oid = FIRST_OID
        self._last_tid = 0
        self.changes = Changes()
        self.events: list[Event] = []

    def wall_ms(self) -> int:
        """Wall time: what nonces, expiry and visibility go by."""
        return time.time_ns() // 1_000_000

    def market_ms(self) -> int:
        """The one time base of everything the market says: trades, fills, books, candles and orders."""
        if self.time_is_simulated and self._simulated_ms is not None:
            return self._simulated_ms()
        return self.wall_ms()

    @property
    def time_is_simulated(self) -> bool:
        return self.config.market_time == "simulated"

    def next_tid(self) -> int:
        """Strictly rising, also across restarts without being stored: wall time leaves room for 500 trades a ms."""
        self._last_tid = max(self._last_tid + 1, self.wall_ms() * TIDS_PER_MS)
        return self._last_tid

    def next_oid(self) -> int:
        self.last_oid += 1
        return self.last_oid

    def mark(self, coin: str) -> Decimal:
        return self.marks.get(coin, self.books[coin].mid)

    def oracle(self, coin: str) -> Decimal:
        return self.oracles.get(coin, self.books[coin].mid)

    def next_rate(self, coin: str) -> Decimal:
        """Funding that the coming full hour will cost."""
        return self.config.funding.rate(coin, (self.market_ms() // HOUR_MS + 1) * HOUR_MS)

    def mid(self, coin: str) -> Decimal:
        book = self.books[coin]
        return mid_of(book.best(is_bid=True), book.best(is_bid=False), book.mid)

    @property
    def all_marks(self) -> dict[str, Decimal]:
        """Of the perpetuals."""
        return {market.coin: self.mark(market.coin) for market in MARKETS}

    def account(self, address: str) -> Account:
        """The account, or an empty one that is not kept."""
        return self.accounts.get(address) or Account(address=address)

    def deposit(self, address: str, usd: Decimal) -> Account:
        """Perpetuals collateral from outside; creates the account. `usd` may be negative: a withdrawal."""
        account = self.accounts.setdefault(address, Account(address=address))
        account.cross_usd += usd
        account.deposits_usd += usd
        kind = "deposit" if usd >= 0 else "withdraw"
        delta: dict[str, object] = {"type": kind, "usdc": number(abs(usd))}
        if usd < 0:
            delta |= {"nonce": self.wall_ms(), "fee": "0.0"}
        self.record_movement(account, delta)
        return account

    def record_movement(self, account: Account, delta: dict[str, object]) -> None:
        """Keep a movement of money in the account's ledger."""
        now = self.market_ms()
        entry_hash = digest(account.address, now, len(account.ledger))
        account.ledger.append(LedgerEntry(time_ms=now, hash=entry_hash, delta=delta))
        self.changes.accounts.add(account.address)

    def open_sub_account(self, master: Account, name: str) -> Account:
        address = made_address(f"sub-account/{master.address}/{len(master.sub_accounts)}")
        self.accounts[address] = Account(address=address, master=master.address, name=name)
        master.sub_accounts.append(address)
        self.changes.accounts |= {address, master.address}
        return self.accounts[address]

    def open_orders(self, user: str, coin: str | None = None) -> list[Order]:
        """A user's resting and waiting orders, oldest first."""
        books: Iterable[Book] = self.books.values() if coin is None else (self.books[coin],)
        waiting = [order for order in self.waiting.values() if order.user == user and coin in (None, order.coin)]
        return sorted([*open_orders(books, user), *waiting], key=lambda order: order.oid)

    def keep_order(self, order: Order) -> None:
        """File an order under its ids, once."""
        if order.oid not in self.orders:
            self.orders[order.oid] = order
            self.orders_of[order.user].append(order.oid)
            if order.cloid:
                self.oid_by_cloid[order.user, order.cloid] = order.oid
        self.changed(order)

    def restore_order(self, order: Order) -> None:
        """File an order that a former process kept."""
        self.keep_order(order)
        if order.is_waiting:
            self.waiting[order.oid] = order
        elif order.is_open:
            self.books[order.coin].resting[order.oid] = order

    def changed(self, order: Order) -> None:
        """Note that an order's record differs now, for the store and for subscribers."""
        self.changes.orders.add(order.oid)
        self.events.append(OrderChanged(order.model_copy()))

    def keep_funding(self, payment: FundingPayment) -> None:
        self.fundings_of[payment.user].append(payment)
        self.changes.fundings.append(payment)
        self.changes.accounts.add(payment.user)

    def keep_rate(self, rate: FundingRate) -> None:
        self.rates_of[rate.coin].append(rate)
        self.changes.rates.append(rate)

    def print_trades(self, coin: str, trades: list[Trade]) -> None:
        self.tape[coin].extend(trades)
        self.day_volume[coin] += sum((trade.size for trade in trades), ZERO)
        self.events.append(Traded(coin, tuple(trades)))

    def find_order(self, user: str, oid: int | str) -> Order | None:
        """By oid or cloid, within the account's newest orders."""
        found = self.oid_by_cloid.get((user, oid)) if isinstance(oid, str) else oid
        order = self.orders.get(found) if found is not None else None
        if order is None or order.user != user:
            return None
        kept = self.orders_of[user]
        return order if order.is_open or order.oid >= kept[0] else None

    def known_fills(self, user: str) -> list[Fill]:
        """The account's fills that no fault hides now, oldest first."""
        now = self.wall_ms()
        return [fill for fill in self.fills_of.get(user, ()) if fill.hidden_until_ms <= now]

    def drain(self) -> tuple[Changes, list[Event]]:
        """Hand over what changed since the last call."""
        changes, events = self.changes, self.events
        self.changes, self.events = Changes(), []
        return changes, events


def known_coin(coin: object) -> bool:
    return isinstance(coin, str) and coin in LISTED
