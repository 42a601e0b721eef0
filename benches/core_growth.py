"""The core alone, from a thousand entities to ten million, as measured by
`crates/store-sqlite/benches/growth.rs`.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness import Harness
from report import Row, Section, number, over_floor, seconds

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = ("insert", "find by id", "find by username", "find by phone", "find by name")
MAX_GROWTH = 3


def measure(harness: Harness) -> Section:
    harness.log("the core alone: cargo bench -p store-sqlite --bench growth")
    table = parse(run(harness.scale.is_quick))
    return Section(
        f"The core alone, from {number(min(table))} to {number(max(table))} entities",
        "Time per entity in Rust, without Python: the slowest size against the fastest.",
        [growth(operation, [line[column] for line in table.values()]) for column, operation in enumerate(COLUMNS)],
        details=[
            ("entities", *COLUMNS),
            *((number(size), *map(seconds, line)) for size, line in sorted(table.items())),
        ],
    )


def run(is_quick: bool) -> str:
    command = ["cargo", "bench", "-p", "store-sqlite", "--bench", "growth", "--", *(["--quick"] if is_quick else [])]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout


def parse(output: str) -> dict[int, list[float]]:
    """Returns seconds by number of entities. A line of output has the number and nanoseconds,
    separated by tabs.
    """
    lines = (line.split("\t") for line in output.splitlines() if line[:1].isdigit())
    return {int(size): [float(value) / 1e9 for value in values] for size, *values in lines}


def growth(operation: str, values: list[float]) -> Row:
    return over_floor(operation, max(values), min(values), seconds, MAX_GROWTH)
