"""From the command line's options to a price source."""

from dataclasses import dataclass, field
from pathlib import Path

from simulator.mirror import MAINNET_WS_URL, MirrorSource
from simulator.paths import PathSource
from simulator.prices import Clock, PriceSource, PriceSourceError
from simulator.random_walk import DEFAULT_WALKS, RandomWalk
from simulator.recording import load_recording
from simulator.scenario import load_scenario

DEFAULT_SCENARIO = "full_cycle"


@dataclass(frozen=True, slots=True)
class PriceSpec:
    """What `--scenario`, `--recording` with `--coin`, `--random-walk` and `--mirror` say; at most one is given."""

    scenario: str | None = None
    """A file, or the name of a bundled scenario."""
    recording: Path | None = None
    coin: str | None = None
    """The recording's coin; needed with it, not allowed without."""
    random_walk: int | None = None
    """The seed."""
    mirror: str | None = None
    """`mainnet`."""
    mirror_url: str = MAINNET_WS_URL
    mirror_coins: tuple[str, ...] = field(default_factory=lambda: tuple(DEFAULT_WALKS))


def price_source(spec: PriceSpec, clock: Clock) -> PriceSource:
    """Make the source a spec names; the bundled full cycle when it names none.

    A scenario that says `start: paused` pauses a new clock; one that continues a path keeps its own state.
    Raises PriceSourceError for a spec or a file that is not right.
    """
    given = {
        "--scenario": spec.scenario,
        "--recording": spec.recording,
        "--random-walk": spec.random_walk,
        "--mirror": spec.mirror,
    }
    named = [option for option, value in given.items() if value is not None]
    if len(named) > 1:
        raise PriceSourceError(f"{' and '.join(named)} are given: one source of prices is allowed")
    if (spec.coin is not None) != (spec.recording is not None):
        raise PriceSourceError(f"--recording is {spec.recording}, --coin is {spec.coin}: each needs the other")
    if spec.recording is not None and spec.coin is not None:
        return PathSource(load_recording(spec.recording, spec.coin), clock)
    if spec.random_walk is not None:
        return PathSource(RandomWalk(spec.random_walk), clock)
    if spec.mirror is not None:
        if spec.mirror != "mainnet":
            raise PriceSourceError(f"--mirror is {spec.mirror!r}: mainnet is allowed")
        return MirrorSource(spec.mirror_coins, clock, url=spec.mirror_url)
    scenario = load_scenario(spec.scenario or DEFAULT_SCENARIO)
    if scenario.start_paused and clock.is_new:
        clock.pause()
    return PathSource(scenario, clock)
