"""A new virtual environment with the package under test, isolated from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

WINDOWS = os.name == "nt"

SMOKE_TEST = Path(__file__).with_name("smoke.py").read_text("utf-8")


class IsolatedEnvironment:
    """A virtual environment in `folder` with a wheel and its dependencies."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder
        self.scripts = folder / "environment" / ("Scripts" if WINDOWS else "bin")
        self.python = self.scripts / ("python.exe" if WINDOWS else "python")
        subprocess.run([sys.executable, "-m", "venv", folder / "environment"], check=True)
        self.run(self.python, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", wheel)

    def run(self, *command: Path | str) -> str:
        """Runs a command that must succeed, without the checkout on its path, and returns its
        output.
        """
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment["PATH"] = os.pathsep.join([str(self.scripts), environment["PATH"]])
        return subprocess.run(
            command, cwd=self.folder, env=environment, check=True, text=True, stdout=subprocess.PIPE
        ).stdout

    def run_smoke_test(self) -> None:
        self.run(self.python, "-c", SMOKE_TEST)
