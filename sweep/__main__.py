"""`python -m sweep`: play the matrix, print the grid, exit with 1 if anything was not as promised.

make sweep
make sweep ARGS="--only fault=worker,step=RESET --jobs 2"
make sweep ARGS="--cell worker@exchange.order.sent/RESET"
"""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from sweep import grid
from sweep.cell import Cell
from sweep.cells import all_cells
from sweep.playing import Player, Result

RENEW_ABOVE = 60
"""Events: a run is continued as new within every cycle."""
FIELDS = ("group", "boundary", "fault", "step")


async def sweep(cells: Sequence[Cell], *, jobs: int, folder: Path, renew_above: int = RENEW_ABOVE) -> list[Result]:
    """Play all, `jobs` stacks at once; one line on stdout for each."""
    waiting, results = deque(cells), list[Result]()
    began_s = time.monotonic()

    async def work(number: int) -> None:
        player = Player(folder / f"job-{number}", renew_above=renew_above)
        try:
            while waiting:
                result = await player.play(waiting.popleft())
                results.append(result)
                print(grid.progress(len(results), len(cells), time.monotonic() - began_s, result), flush=True)
                for violation in result.violations:
                    print(
                        f"      {violation.rule}: {violation.text}\n      {grid.reproduction(result.cell)}", flush=True
                    )
        finally:
            await player.end()

    async with asyncio.TaskGroup() as group:
        for number in range(min(jobs, len(cells))):
            group.create_task(work(number))
    return results


def chosen_cells(cells: Sequence[Cell], *, only: str = "", names: Sequence[str] = ()) -> list[Cell]:
    """Those of which every `field=pattern` of `only` is true, or those named. Raises ValueError if there are none."""
    conditions = [condition.split("=", 1) for condition in only.split(",") if condition]
    for condition in conditions:
        if len(condition) != 2 or condition[0] not in FIELDS:
            raise ValueError(
                f"--only has {'='.join(condition)}: FIELD=PATTERN with one of {', '.join(FIELDS)} is allowed"
            )
    found = [
        cell
        for cell in cells
        if (not names or cell.name in names)
        and all(fnmatchcase(getattr(cell, field), pattern) for field, pattern in conditions)
    ]
    if not found:
        raise ValueError("no cell is like that: --list shows all of them")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sweep", description="Crash a trade at every boundary of its life.")
    parser.add_argument("--only", default="", help="FIELD=PATTERN,...; fields: group, boundary, fault, step")
    parser.add_argument("--cell", action="append", default=[], help="one cell by its name; may be repeated")
    parser.add_argument("--jobs", type=int, default=2, help="stacks at once")
    parser.add_argument("--list", action="store_true", help="name the cells and end")
    parser.add_argument("--json", type=Path, help="write the results there")
    parser.add_argument("--report", type=Path, help="write the grid there, as markdown")
    parser.add_argument("--keep", type=Path, help="folder for state and for the traces of what failed")
    asked = parser.parse_args()
    try:
        cells = chosen_cells(all_cells(), only=asked.only, names=asked.cell)
    except ValueError as error:
        parser.error(str(error))
    if asked.list:
        print("\n".join(cell.name for cell in cells))
        return 0
    logging.basicConfig(level="ERROR")
    folder = asked.keep or Path(tempfile.mkdtemp(prefix="hypertrader-sweep-"))
    began_s = time.monotonic()
    results = asyncio.run(sweep(cells, jobs=asked.jobs, folder=folder))
    seconds = time.monotonic() - began_s
    text = grid.report(results, seconds)
    print(text)
    if asked.json:
        asked.json.write_text(json.dumps(grid.as_json(results, seconds), indent=1))
    if asked.report:
        asked.report.write_text(text + "\n")
    failed = any(result.violations for result in results)
    if failed:
        print(f"traces of what failed: {folder}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
