"""The core alone, from a thousand entities to ten million: `benches/growth.rs` measures, here it is judged."""

from __future__ import annotations

import subprocess
from pathlib import Path

from report import Row, Theme, beside, number, seconds
from stage import Stage

CRATE = Path(__file__).resolve().parents[1]
COLUMNS = ("insert", "find by id", "find by username", "find by phone", "find by name")
FLAT = 3


def measure(stage: Stage) -> Theme:
    stage.say("the core alone: cargo bench --bench growth")
    table = read(run(stage.scale.is_quick))
    return Theme(
        f"The core alone, from {number(min(table))} to {number(max(table))} entities",
        "Time per entity in Rust, without Python: the slowest of the sizes beside the fastest.",
        [judge(what, [line[column] for line in table.values()]) for column, what in enumerate(COLUMNS)],
        details=[
            ("entities", *COLUMNS),
            *((number(size), *map(seconds, line)) for size, line in sorted(table.items())),
        ],
    )


def run(is_quick: bool) -> str:
    command = ["cargo", "bench", "--bench", "growth", "--no-default-features", "--", *(["--quick"] if is_quick else [])]
    return subprocess.run(command, cwd=CRATE, stdout=subprocess.PIPE, text=True, check=True).stdout


def read(printed: str) -> dict[int, list[float]]:
    """Seconds by number of entities, out of lines of tab-separated numbers: entities, then nanoseconds."""
    lines = (line.split("\t") for line in printed.splitlines() if line[:1].isdigit())
    return {int(size): [float(value) / 1e9 for value in values] for size, *values in lines}


def judge(what: str, values: list[float]) -> Row:
    return beside(what, max(values), min(values), seconds, FLAT)
