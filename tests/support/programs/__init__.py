"""Programs that tests run in separate processes: `python -m support.programs.NAME ARGUMENTS`."""

from __future__ import annotations

import sys


def command(name: str, *arguments: object, options: tuple[str, ...] = ()) -> list[str]:
    """Returns the command that runs a program of this folder, with `options` for the interpreter."""
    return [sys.executable, *options, "-m", f"{__name__}.{name}", *map(str, arguments)]
