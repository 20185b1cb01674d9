"""How a trade is called on the command line, where the exchange can be asked for the coin's name and where it can't."""

import pytest

from cli.errors import BadOption
from cli.names import as_typed, coin_in
from workflows.asked import workflow_id


@pytest.mark.parametrize(
    ("text", "trade"),
    [
        ("ETH", "ETH"),
        ("eth", "ETH"),
        ("kPEPE", "kPEPE"),
        ("eth/USDC:USDC", "ETH"),
        ("eth-hedge", "ETH-hedge"),
        ("ETH/USDC:USDC-long-term", "ETH-long-term"),
    ],
)
def test_a_trade_is_known_as_typed_while_the_exchange_is_away(text: str, trade: str) -> None:
    assert as_typed(text) == trade
    assert workflow_id(trade) == workflow_id(coin_in(trade), trade.partition("-")[2] or None)


@pytest.mark.parametrize("text", ["ETH-", "ETH-Hedge", "ETH-2", f"ETH-{'x' * 21}"])
def test_a_name_that_no_trade_can_have_is_refused(text: str) -> None:
    with pytest.raises(BadOption, match="up to 19 letters, digits or hyphens, all in lower case, are allowed"):
        as_typed(text)
