"""Where this installation lives and whom it trades for: read once from HYPERTRADER_* variables.

The private keys are no setting: `exchange.network.load_keys` reads them where they are used, so they can't be printed
with the rest. Nor are the payload keys (`encryption.load_keys`) and the addresses of notices (`activities.channels`).
"""

import os
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

MAY_BE_SILENT = ("reset", "outage")
"""Notices that nobody has to act on."""
WEIGHT_PER_MINUTE = 1_200
"""Of all requests from one address of the network, by the exchange's own table of weights."""
WEIGHT_MIN = 200
"""With less, the heaviest list could not be asked for beside what is kept for orders."""


class Network(StrEnum):
    PAPER = "paper"
    TESTNET = "testnet"
    MAINNET = "mainnet"


class Settings(BaseModel):
    """One installation. Field `x` is read from HYPERTRADER_X."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: Network = Network.PAPER
    allow_mainnet: str = ""
    """Must be exactly `yes` for mainnet."""
    state_dir: Path = Path(".hypertrader")
    temporal_address: str = "127.0.0.1:7233"
    temporal_namespace: str = "default"
    exchange_url: str = "http://127.0.0.1:7250"
    """The simulator's; read for the paper network only."""
    paper_limits: bool = False
    """Whether the simulator limits requests as the exchange does, and we keep to it."""
    worker_weight: int = Field(default=700, ge=WEIGHT_MIN, le=WEIGHT_PER_MINUTE, validate_default=True)
    """What a worker may use of the requests' weight that the exchange allows one address of the network in a minute."""
    feed_weight: int = Field(default=200, ge=WEIGHT_MIN, le=WEIGHT_PER_MINUTE, validate_default=True)
    command_weight: int = Field(default=300, ge=WEIGHT_MIN, le=WEIGHT_PER_MINUTE, validate_default=True)
    account: str | None = None
    """Address whose positions are traded; the key's own address when not given."""
    private_key_file: Path | None = None
    """Holds the key that signs, and below it former ones, one a line, for as long as something has them."""
    payload_key_file: Path | None = None
    """Holds the keys that seal what Temporal keeps, one a line; nothing is sealed without."""
    allow_plain_payloads: str = ""
    """Must be exactly `yes` for mainnet without payload keys."""
    journal_url: str | None = None
    nonce_slot: int | None = Field(default=None, ge=0)
    """Fixed slot of this process; one is taken in the state folder when not given."""
    nonce_slots: int = Field(default=16, ge=1, le=1024, validate_default=True)
    slippage_bps: int = Field(default=50, ge=1, le=1000)
    """How far from the deciding price a market order may fill."""
    notify_per_hour: int = Field(default=30, ge=1, le=1000)
    """Messages to each channel; what is above it is told together, later."""
    notify_silent: str = ""
    """Kinds of notices that are logged and sent to nobody, comma separated."""
    notify_liquidation_pct: Decimal = Field(default=Decimal(10), ge=0, le=50)
    """Of the mark price: a liquidation price nearer than this is told of; 0 is never."""
    trace_file: Path | None = None
    log_level: str = "INFO"

    @field_validator("account")
    @classmethod
    def _lower_case(cls, value: str | None) -> str | None:
        return value.lower() if value else value

    @field_validator("notify_silent")
    @classmethod
    def _may_be_silent(cls, value: str) -> str:
        for kind in value.split(","):
            if kind.strip() not in (*MAY_BE_SILENT, ""):
                raise ValueError(f"notify_silent is {value}: of {', '.join(MAY_BE_SILENT)} any are allowed")
        return value

    @field_validator("command_weight")
    @classmethod
    def _one_of_each_fits(cls, value: int, info: ValidationInfo) -> int:
        others = [info.data.get(name, 0) for name in ("worker_weight", "feed_weight")]
        if value + sum(others) > WEIGHT_PER_MINUTE:
            raise ValueError(
                f"worker_weight, feed_weight and it add up to {value + sum(others)}; {WEIGHT_PER_MINUTE} a minute is"
                " allowed for all processes behind one address of the network"
            )
        return value

    @field_validator("nonce_slots")
    @classmethod
    def _slot_is_one_of_them(cls, value: int, info: ValidationInfo) -> int:
        slot = info.data.get("nonce_slot")
        if slot is not None and slot >= value:
            raise ValueError(f"nonce_slot is {slot}; with so many slots 0 to {value - 1} is allowed")
        return value

    @property
    def silent_notices(self) -> frozenset[str]:
        return frozenset(kind.strip() for kind in self.notify_silent.split(",")) - {""}

    @property
    def journal(self) -> str:
        return self.journal_url or f"sqlite+aiosqlite:///{self.state_dir / 'journal.db'}"

    @classmethod
    def from_env(cls, **overrides: object) -> "Settings":
        """Environment first, then what the caller says; None means not said."""
        found: dict[str, object] = {
            name: os.environ[f"HYPERTRADER_{name.upper()}"]
            for name in cls.model_fields
            if os.environ.get(f"HYPERTRADER_{name.upper()}")
        }
        found.update({name: value for name, value in overrides.items() if value is not None})
        return cls.model_validate(found)
