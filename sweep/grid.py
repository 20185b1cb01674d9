"""Results as people read them: a line per cell while they run, the grid at the end, markdown for the docs."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from statistics import quantiles
from typing import Any

from sweep.cell import Cell
from sweep.playing import Result

Count = tuple[int, int]
"""Good ones, and all."""


def reproduction(cell: Cell) -> str:
    """The one command that plays this cell again."""
    return f'make sweep ARGS="--cell {cell.name}"'


def progress(done: int, total: int, elapsed_s: float, result: Result) -> str:
    left_s = elapsed_s / done * (total - done)
    verdict = "ok  " if not result.violations else "FAIL"
    recovered = "" if result.recovered_s is None else f"recovered in {result.recovered_s:.1f} s, "
    took = f"({recovered}slowest {result.slowest}, all {result.seconds:.1f} s)"
    return f"{done}/{total}  {_clock(left_s)} left  {verdict}  {result.cell.name}  {took}"


def report(results: Sequence[Result], seconds: float) -> str:
    """Markdown: the sum, a grid per group, and every failing cell with its command."""
    return "\n".join([*_summary(results, seconds), "", *_grids(results), *_failures(results)])


def as_json(results: Sequence[Result], seconds: float) -> dict[str, Any]:
    return {
        "cells": len(results),
        "failed": sum(bool(result.violations) for result in results),
        "seconds": round(seconds, 1),
        "recovery_s": _recovery(results),
        "results": [
            {
                "cell": result.cell.name,
                "group": result.cell.group,
                "seconds": round(result.seconds, 2),
                "recovered_s": result.recovered_s and round(result.recovered_s, 2),
                "slowest": result.slowest,
                "violations": [asdict(violation) for violation in result.violations],
            }
            for result in results
        ],
    }


def _summary(results: Sequence[Result], seconds: float) -> Iterable[str]:
    bad = [result for result in results if result.violations]
    violations = sum(len(result.violations) for result in results)
    yield f"{len(results)} cells, {len(bad)} of them with violations ({violations} in all), in {_clock(seconds)}."
    if times := _recovery(results):
        yield (
            f"From the last fault to the trade at rest on the right price: median {times['p50']} s, "
            f"p99 {times['p99']} s, longest {times['max']} s."
        )


def _recovery(results: Sequence[Result]) -> dict[str, float]:
    times = sorted(result.recovered_s for result in results if result.recovered_s is not None)
    if len(times) < 2:
        return {}
    cuts = quantiles(times, n=100, method="inclusive")
    return {"p50": round(cuts[49], 1), "p99": round(cuts[98], 1), "max": round(times[-1], 1)}


def _grids(results: Sequence[Result]) -> Iterable[str]:
    """Rows are boundaries and columns faults, or the other way round where that is narrower."""
    groups: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        groups[result.cell.group].append(result)
    for group, found in groups.items():
        faults = list(dict.fromkeys(result.cell.fault for result in found))
        boundaries = list(dict.fromkeys(result.cell.boundary for result in found))
        counts: dict[tuple[str, str], Count] = defaultdict(lambda: (0, 0))
        across = len(faults) <= len(boundaries)
        for result in found:
            cell = result.cell
            key = (cell.boundary, cell.fault) if across else (cell.fault, cell.boundary)
            good, total = counts[key]
            counts[key] = (good + (not result.violations), total + 1)
        rows, columns = (boundaries, faults) if across else (faults, boundaries)
        yield f"**{group}** (good runs / runs)"
        yield ""
        yield f"| {'boundary' if across else 'fault'} | {' | '.join(columns)} |"
        yield f"| --- |{' --- |' * len(columns)}"
        for row in rows:
            yield f"| {row} | {' | '.join(_shown(counts[row, column]) for column in columns)} |"
        yield ""


def _shown(count: Count) -> str:
    good, total = count
    return f"{good}/{total}" if total else ""


def _failures(results: Sequence[Result]) -> Iterable[str]:
    for result in results:
        for violation in result.violations:
            yield f"- {result.cell.name}: {violation.rule}: {violation.text}"
        if result.violations:
            yield f"  {reproduction(result.cell)}"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"
