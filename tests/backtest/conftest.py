from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

import pytest

Rows = Sequence[tuple[int | str, Decimal | str | int]]


@pytest.fixture
def csv_of(tmp_path: Path) -> Callable[[Rows], Path]:
    """Write rows of (ts, price) as a CSV file."""

    def write(rows: Rows) -> Path:
        path = tmp_path / "prices.csv"
        path.write_text("ts,price\n" + "".join(f"{ts},{price}\n" for ts, price in rows))
        return path

    return write
