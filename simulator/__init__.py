"""A Hyperliquid on this machine: the venue's real protocol over HTTP and WebSocket, with made-up money.

How the parts hang together: `http` and `streams` take requests, `admission` decides who may act, `actions` and
`account_actions` do it by the rules in `placing`, `matching`, `settlement` and `margin` on the records of `venue`;
every request ends in one commit (`server`), which stores what changed before the answer leaves and then tells
subscribers.

Time. Nonces, expiry, agents' validity and the visibility lag always go by wall time. Everything the market says about
time (trades, fills, orders, books, candles) has one base of its own: wall time too, unless the configuration says
`market_time: simulated`; then it is the clock of the price path, which may be faster, held, or in another year.

What follows from a change of prices or of the clock is done in the same commit: `funding` at each full hour of market
time, `liquidation` at the mark price.

Trouble is made on request only: `faults` names what can go wrong with a request, `striking` picks those that do,
`replies` spoils answers, `stream_faults` disturbs the WebSocket, `outage` takes the whole exchange away.

Prices. A price from the source sets the mid of its coin: resting orders it crosses fill first, at their own prices and
with the depth that reaches them, and then one print of the makers stands at exactly that price. Mark and oracle are the
mid unless the control API holds them apart. Nothing here is random but with a seed: that of a price source, and that
of faults by chance.

Spot. A pair has a book like a perpetual and follows its price; `spot_books` keeps what an account owns there.

Not simulated: trigger orders on spot, unified accounts, rate limits and scheduled cancels. What is refused for that
reason says so in its own words, never in the venue's.
"""
