"""Sessions that live with one file after the other, whatever it is, in a process of their own: a crash is seen."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from support.addresses import completed


@dataclass
class Life:
    """What came of a file."""

    name: str
    # Each with the step, the class and the text.
    errors: list[tuple[str, str, str]] = field(default_factory=list)
    # Those of them that are no `DatabaseError`, `ValueError` or `OSError`.
    wrong: list[str] = field(default_factory=list)
    # What the constructor said.
    refused: str | None = None
    # What of it is not as it was before: content, mode, time, or what is beside it.
    changed: list[str] = field(default_factory=list)
    # What Telethon and ours read: digest of the key, data centre, address, port.
    theirs: list[Any] | None = None
    ours: list[Any] | None = None
    # By each key, at once and when the background has read.
    found: list[list[Any]] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """What must not be, whatever the file."""
        faults = [f"wrong class of error: {error}" for error in self.wrong]
        faults += [
            f"does not name its file: {error}" for error in self.errors if f"{self.name}.session" not in error[2]
        ]
        # The time alone is another where an upgrade was begun and taken back.
        if self.changed not in ([], ["time"]):
            faults.append(f"refused ({self.refused}) and yet changed in {self.changed}")
        if self.theirs and self.theirs[0] and self.ours and self.ours != completed(self.theirs):
            faults.append(f"another login than Telethon reads: {self.ours}, not {self.theirs}")
        return faults


@contextmanager
def fast_folder() -> Iterator[Path]:
    """For what is not about the disk: in memory, where memory can be had for a disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


class Lives:
    """The process, seen from outside. Its files are in `folder`."""

    def __init__(self, folder: Path, user: int | None = None) -> None:
        self.folder = folder
        self.log = folder / "log.txt"
        command = [sys.executable, "-m", "support.file_worker", *([str(user)] if user else [])]
        with self.log.open("w") as log:
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, stderr=log, text=True)

        self._numbers = count()

    def new_path(self) -> Path:
        return self.folder / f"anna_{next(self._numbers)}.session"

    def __enter__(self) -> Lives:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()
        log = self.log.read_text(errors="replace")
        assert self.process.returncode == 0, log[-3000:]
        # Of threads in the background, and of a session that goes, the log alone tells.
        assert not any(trouble in log for trouble in ("panicked", "a fault in", "Exception ignored")), log

    def of(self, *paths: Path, **options: Any) -> list[Life]:
        """A life with each; the options are `Living`'s."""
        print(json.dumps([{"name": path.stem, **options} for path in paths]), file=self.process.stdin, flush=True)
        at = ""
        for line in self.process.stdout:
            told = json.loads(line)
            if isinstance(told, list):
                return [Life(**life) for life in told]
            at = told
        raise AssertionError(f"the process ended in {at}: {self.log.read_text(errors='replace')[-3000:]}")
