"""A backtest as one HTML file that opens with no network."""
