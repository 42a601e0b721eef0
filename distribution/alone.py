"""A new environment, with what is to be tested in it and nothing of the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

WINDOWS = os.name == "nt"

PROGRAM = Path(__file__).with_name("program.py").read_text("utf-8")


class Alone:
    """An environment of its own in `folder`, in which a wheel is installed with what it depends on."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder
        self.scripts = folder / "environment" / ("Scripts" if WINDOWS else "bin")
        self.python = self.scripts / ("python.exe" if WINDOWS else "python")
        subprocess.run([sys.executable, "-m", "venv", folder / "environment"], check=True)
        self.run(self.python, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", wheel)

    def run(self, *command: Path | str) -> str:
        """What the command says; it must end well. The checkout is not where it looks for modules."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment["PATH"] = os.pathsep.join([str(self.scripts), environment["PATH"]])
        return subprocess.run(
            command, cwd=self.folder, env=environment, check=True, text=True, stdout=subprocess.PIPE
        ).stdout

    def works(self) -> None:
        self.run(self.python, "-c", PROGRAM)
