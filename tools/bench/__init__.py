"""Side-by-side benchmarks: ours and the peer, alternating, in one run and one environment.

`uv run --all-groups python -m tools.bench` runs every case and prints the table of docs/benchmarks.md.
"""

from tools.bench.case import Case, Workload

__all__ = ["Case", "Workload"]
