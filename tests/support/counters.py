"""Counts of tested cases, printed at the end of the run."""

from __future__ import annotations

from collections import Counter

COUNTS: Counter[str] = Counter()


def tally(what: str, count: int = 1) -> None:
    """Adds to the count of a kind of case. `conftest.py` prints all counts."""
    COUNTS[what] += count
