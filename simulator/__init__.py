"""A Hyperliquid on this machine: the venue's real protocol over HTTP and WebSocket, with made-up money.

How the parts hang together: `http` and `streams` take requests, `admission` decides who may act, `actions` and
`account_actions` do it by the rules in `matching`, `settlement` and `margin` on the records of `venue`; every request
ends in one commit (`server`), which stores what changed before the answer leaves and then tells subscribers.

Time. Nonces, expiry, agents' validity and the visibility lag always go by wall time. Everything the market says about
time (trades, fills, orders, books, candles) has one base of its own: wall time too, unless the configuration says
`market_time: simulated`; then it is the clock of the price path, which may be faster, held, or in another year.

Prices. A price from the source sets the mid of its coin: resting orders it crosses fill first, at their own prices and
with the depth that reaches them, and then one print of the makers stands at exactly that price. Mark and oracle are the
mid unless the control API holds them apart. Nothing here is random: a seed belongs to a price source.

Not simulated: liquidation, funding payments, trigger orders, spot trading, unified accounts, rate limits and scheduled
cancels. What is refused for that reason says so in its own words, never in the venue's.
"""
