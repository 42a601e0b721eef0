"""A panic in the core, which is a bug of ours, becomes a Python exception and leaves the session
usable.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import telethon_session_rust
from support.environment import TESTS
from support.files import on_disk
from support.programs import command

pytestmark = pytest.mark.any_release

# A core with a method that panics, which `make test` builds beside the real one.
FAULTY_CORE = os.environ.get("FAULTY_CORE")


@pytest.mark.skipif(not FAULTY_CORE, reason="needs the core with a method that panics, which `make test` builds")
def test_a_panic(folder: Path) -> None:
    package = folder / "package" / "telethon_session_rust"
    shutil.copytree(
        Path(telethon_session_rust.__file__).parent,
        package,
        ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"),
    )
    shutil.copy(FAULTY_CORE, package / "_core.abi3.so")
    path = os.pathsep.join([str(package.parent), str(TESTS)])
    subprocess.run(command("panic"), check=True, env={**os.environ, "PYTHONPATH": path})
    assert len(on_disk()) == 20
