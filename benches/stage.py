"""What every measurement is given: how much to do, whom to do it with, where, and how to say how far it is."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from people import People
from report import CONSOLE


@dataclass(frozen=True)
class Scale:
    """How many rounds, and how many entities, sessions and messages in each."""

    is_quick: bool
    rounds: int
    # Where the longest of many times is measured, and one hiccup of the machine is the whole of it.
    rounds_of_longest: int
    rounds_in_children: int
    ingested: int
    most: int
    saved: int
    remembered: int
    sessions: int
    messages: int


FULL = Scale(
    is_quick=False,
    rounds=5,
    rounds_of_longest=9,
    rounds_in_children=5,
    ingested=50_000,
    most=1_000_000,
    saved=50_000,
    remembered=500_000,
    sessions=1_000,
    messages=10_000,
)
QUICK = Scale(
    is_quick=True,
    rounds=3,
    rounds_of_longest=3,
    rounds_in_children=1,
    ingested=10_000,
    most=100_000,
    saved=20_000,
    remembered=100_000,
    sessions=200,
    messages=2_000,
)


@dataclass(frozen=True)
class Stage:
    scale: Scale
    folder: Path
    people: People
    began: float

    @classmethod
    @contextmanager
    def set(cls, scale: Scale) -> Iterator[Stage]:
        folder = Path(tempfile.mkdtemp())
        began = time.perf_counter()
        try:
            stage = cls(scale, folder, People(folder / "people"), began)
            stage.say(f"making {scale.most:,} people")
            stage.people.write(scale.most)
            yield stage
        finally:
            shutil.rmtree(folder)

    @property
    def grown(self) -> Path:
        """A file that Telethon's session has filled with all people, if somebody has left it here."""
        return self.folder / "grown.session"

    def say(self, what: str) -> None:
        """A line, and no moving bar: that would be drawn by a thread of this process while it is measured."""
        CONSOLE.print(f"[dim]{time.perf_counter() - self.began:4.0f} s  {what}[/]")

    @contextmanager
    def room(self) -> Iterator[Path]:
        """An empty folder that is removed again."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            yield Path(folder)
