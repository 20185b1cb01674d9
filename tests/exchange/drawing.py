"""A process that draws nonces and prints them: `drawing.py FOLDER SLOTS COUNT`. With COUNT 0, until it is killed."""

import itertools
import sys
from pathlib import Path

from exchange.nonces import NonceSource

SIGNER = "0x" + "0f" * 20


def main(folder: str, slots: str, count: str) -> None:
    source = NonceSource(Path(folder), SIGNER, slots=int(slots))
    for _ in range(int(count)) if int(count) else itertools.count():
        sys.stdout.write(f"{source.draw()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
