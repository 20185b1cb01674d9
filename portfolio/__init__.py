"""What the account as a whole wants, gives and risks, decided purely; Decimal, and no I/O, clock or randomness."""
