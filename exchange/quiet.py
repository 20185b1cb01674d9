"""ccxt's Hyperliquid class without what it does unasked, and with its answers left as they came.

Plain ccxt approves a builder fee of its own before orders, adds it to each of them, and sets a referrer. It can't be
switched off by options alone.
"""

import json
import logging
from typing import Any

from ccxt.async_support import hyperliquid

from exchange.network import Endpoint
from exchange.signing import PrivateKey, sign_l1_action, sign_transfer
from exchange.sorting import sort_status

TIMEOUT_MS = 5_000


class QuietHyperliquid(hyperliquid):  # type: ignore[misc]  # ccxt is not typed
    """One call, one request; no builder, no referrer. It holds a PrivateKey, and ccxt's `privateKey` stays empty."""

    # ccxt logs whole requests, signatures included, at DEBUG.
    logger = logging.getLogger("hypertrader.exchange.ccxt")

    def __init__(self, at: Endpoint, account: str, key: PrivateKey) -> None:
        self._key = key
        self._mainnet = at.mainnet
        super().__init__(
            {
                "walletAddress": account,
                "requiredCredentials": {"privateKey": False, "walletAddress": True},
                # One queue for orders and reads alike: `exchange.governor` has what is used instead.
                "enableRateLimit": False,
                "timeout": TIMEOUT_MS,
                "timeout_on_exit": 0,
                "verify": at.url.startswith("https://"),
                "urls": {"api": {"public": at.url, "private": at.url}},
                "options": {
                    "sandboxMode": not at.mainnet,
                    "enableUnifiedMargin": False,
                    "fetchMarkets": {"types": ["swap"]},
                },
            }
        )
        self.has["fetchCurrencies"] = False

    async def initialize_client(self) -> bool:
        """Where ccxt sends approveBuilderFee and setReferrer before everything else. Not here."""
        return True

    def sign_l1_action(
        self, action: dict[str, Any], nonce: int, vaultAdress: str | None = None, expiresAfter: int | None = None
    ) -> dict[str, str | int]:
        """Names and order as ccxt has them; the same signature in less time."""
        return sign_l1_action(
            self._key, action, nonce, mainnet=self._mainnet, vault=vaultAdress, expires_after_ms=expiresAfter
        )

    def sign_transfer(self, action: dict[str, Any]) -> dict[str, str | int]:
        """What only the account's own key may sign."""
        return sign_transfer(self._key, action)

    def handle_errors(self, code: int, reason: str, url: str, method: str, headers: Any, body: str, *_: Any) -> None:
        """Only HTTP is judged here: a refusal in the answer stays an answer, which ccxt would turn into the very
        exception it has for a broken one."""
        error = sort_status(code, body)
        if error is not None:
            raise error

    def parse_json(self, http_response: str) -> Any:
        """Any JSON, where ccxt only knows objects and lists: some answers are a bare string or null."""
        try:
            return json.loads(http_response)
        except ValueError:
            return None


QuietHyperliquid.logger.setLevel(logging.INFO)
