"""What every benchmark receives: its scale, the dataset, temporary folders and a progress log."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dataset import Dataset
from report import CONSOLE


@dataclass(frozen=True)
class Scale:
    """How many rounds, and how many entities, sessions and messages in each."""

    is_quick: bool
    rounds: int
    # For the longest of many times, which a single hiccup of the machine decides.
    rounds_of_max: int
    rounds_in_subprocesses: int
    received: int
    largest: int
    saved: int
    cached: int
    sessions: int
    messages: int


FULL = Scale(
    is_quick=False,
    rounds=5,
    rounds_of_max=9,
    rounds_in_subprocesses=5,
    received=50_000,
    largest=1_000_000,
    saved=50_000,
    cached=500_000,
    sessions=1_000,
    messages=10_000,
)
QUICK = Scale(
    is_quick=True,
    rounds=3,
    rounds_of_max=3,
    rounds_in_subprocesses=1,
    received=10_000,
    largest=100_000,
    saved=20_000,
    cached=100_000,
    sessions=200,
    messages=2_000,
)


@dataclass(frozen=True)
class Harness:
    scale: Scale
    folder: Path
    dataset: Dataset
    started: float

    @classmethod
    @contextmanager
    def create(cls, scale: Scale) -> Iterator[Harness]:
        folder = Path(tempfile.mkdtemp())
        started = time.perf_counter()
        try:
            harness = cls(scale, folder, Dataset(folder / "dataset"), started)
            harness.log(f"generating {scale.largest:,} entities")
            harness.dataset.write(scale.largest)
            yield harness
        finally:
            shutil.rmtree(folder)

    @property
    def full_file(self) -> Path:
        """The file that `max_latency.py` leaves here: Telethon's session with every entity of the
        dataset.
        """
        return self.folder / "full.session"

    def log(self, message: str) -> None:
        """Prints a line. A progress bar would be drawn by a thread of the process that is measured."""
        CONSOLE.print(f"[dim]{time.perf_counter() - self.started:4.0f} s  {message}[/]")

    @contextmanager
    def temporary_folder(self) -> Iterator[Path]:
        """Yields an empty folder and removes it afterwards."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            yield Path(folder)
