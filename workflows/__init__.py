"""The story of a trade, durable: deterministic code on Temporal, told by activities what the world answered."""
