"""The source distribution contains what building and testing the package needs, and builds without
the network.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path, PurePosixPath

import pytest

from isolated import IsolatedEnvironment

ROOT = Path(__file__).parents[1]
# The same as for the wheel, so that only our own crates are built again.
TARGET = ROOT / "target"

REQUIRED = {
    ".cargo/config.toml",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "Makefile",
    "PKG-INFO",
    "README.md",
    "SECURITY.md",
    "pyproject.toml",
}
# Folders that are included completely.
COMPLETE = ("crates", "distribution", "python", "src", "tests")
EXCLUDED = (".ci", ".git", "fuzz", "target", ".venv", ".hypothesis")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    subprocess.run([maturin(), "sdist", "--out", folder], cwd=ROOT, check=True)
    (archive,) = folder.iterdir()
    return archive


def maturin() -> Path:
    return Path(sys.executable).with_name("maturin")


def in_repository(folder: str) -> set[str]:
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", folder],
        cwd=ROOT,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    )
    return set(listing.stdout.splitlines())


def test_contents(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        files = [member for member in archive.getmembers() if not member.isdir()]
    assert all(member.isfile() for member in files)
    names = {str(PurePosixPath(*PurePosixPath(member.name).parts[1:])) for member in files}
    assert names >= REQUIRED
    for folder in COMPLETE:
        included = {name for name in names if PurePosixPath(name).parts[0] == folder}
        assert included == in_repository(folder)
    assert [name for name in names if PurePosixPath(name).parts[0].startswith(EXCLUDED)] == []


def test_build_without_network(sdist: Path, tmp_path: Path) -> None:
    """Uses only the crates of Cargo.lock, which `cargo fetch` has downloaded."""
    command = [sys.executable, "-m", "pip", "wheel", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*command, "--wheel-dir", tmp_path, sdist],
        check=True,
        env={
            **os.environ,
            "CARGO_NET_OFFLINE": "true",
            "CARGO_TARGET_DIR": str(TARGET),
            # Otherwise its wheel stays beside that of the checkout.
            "MATURIN_PEP517_ARGS": shlex.join(["--out", str(tmp_path / "built")]),
            "PATH": os.pathsep.join([str(maturin().parent), os.environ["PATH"]]),
        },
    )
    (wheel,) = tmp_path.glob("*.whl")
    IsolatedEnvironment(tmp_path, wheel).run_smoke_test()
