"""What to hold, decided purely: no I/O, no clock, no randomness. Numbers are Decimal; rules in docs/strategy.md."""
