"""Savings: profit leaves the margin for the spot side and buys a coin there, each step once."""

from decimal import Decimal

from workflows.portfolio.record import PortfolioRecord


def moved_by_hand(record: PortfolioRecord, perp_usd: Decimal) -> Decimal:
    """What a person moved between the account's sides. Returns what of it was no saving."""
    return perp_usd
