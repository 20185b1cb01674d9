"""All benchmarks, one after the other: ratios against a baseline measured beside them, on this machine, now."""

from bench import latency

latency.main()
