"""The portfolio of one account: it gives the trades their margin, keeps what they earn, and stops them all.

`workflow` is the workflow; what it does is in `grants`, `savings`, `watch`, `emergency` and `rebalancing`.
"""
