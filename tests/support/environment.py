"""Isolates the tests from their caller's environment."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
# Variables by which a caller's terminal, language or interpreter would change the behaviour of a
# test.
_PREFIXES = ("PYTHON", "LC_", "PYTEST_ADDOPTS")
_NAMES = ("CLICOLOR", "CLICOLOR_FORCE", "COLORTERM", "COLUMNS", "FORCE_COLOR", "LANGUAGE", "LINES", "NO_COLOR")
_SET = {
    "LANG": "C.UTF-8",
    "PYTHONPATH": str(TESTS),
    "TERM": "xterm-256color",
    "TZ": "UTC",
}
_HOME = "TESTS_HOME"
_UMASK = 0o022


def isolate() -> None:
    """Sets up the environment for this process and its children. Call it before the tests are
    collected.
    """
    for name in list(os.environ):
        if name.startswith(_PREFIXES) or name in _NAMES:
            del os.environ[name]
    os.environ.update(_SET)
    # xdist's workers inherit the folder of the process that started them.
    home = os.environ.get(_HOME)
    if home is None:
        home = os.environ[_HOME] = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ["HOME"] = os.environ["USERPROFILE"] = home
    # Where the locks of keys are, beside the folder for temporary files.
    runtime = Path(home, "runtime")
    runtime.mkdir(mode=0o700, exist_ok=True)
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    os.umask(_UMASK)
    if hasattr(time, "tzset"):
        time.tzset()
