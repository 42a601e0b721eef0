"""What the tests tried, counted, for the line at the end of the run."""

from __future__ import annotations

from collections import Counter

COUNTS: Counter[str] = Counter()


def tried(what: str, count: int = 1) -> None:
    """Counts what was tried; `conftest.py` prints all of it when the run ends."""
    COUNTS[what] += count
