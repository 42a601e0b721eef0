"""The source distribution: it holds what it takes to build and test the package, and builds without the network."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path, PurePosixPath

import pytest

from alone import Alone

ROOT = Path(__file__).parents[1]
# Kept from run to run: not everything that it is built of has changed.
BUILT = ROOT / "target" / "sdist"

NEEDED = {
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
# Of these folders, everything that is in the repository.
WHOLE = ("crates", "distribution", "python", "src", "tests")
OF_THE_REPOSITORY_ALONE = (".ci", ".git", "fuzz", "target", ".venv", ".hypothesis")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    subprocess.run([maturin(), "sdist", "--out", folder], cwd=ROOT, check=True)
    (made,) = folder.iterdir()
    return made


def maturin() -> Path:
    return Path(sys.executable).with_name("maturin")


def in_repository(folder: str) -> set[str]:
    said = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", folder],
        cwd=ROOT,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    )
    return set(said.stdout.splitlines())


def test_what_is_in_it(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        files = [member for member in archive.getmembers() if not member.isdir()]
    assert all(member.isfile() for member in files)
    names = {str(PurePosixPath(*PurePosixPath(member.name).parts[1:])) for member in files}
    assert names >= NEEDED
    for folder in WHOLE:
        inside = {name for name in names if PurePosixPath(name).parts[0] == folder}
        assert inside == in_repository(folder)
    assert [name for name in names if PurePosixPath(name).parts[0].startswith(OF_THE_REPOSITORY_ALONE)] == []


def test_it_builds_without_the_network(sdist: Path, tmp_path: Path) -> None:
    """From the crates that Cargo.lock names and no others, as `cargo fetch` has brought them."""
    command = [sys.executable, "-m", "pip", "wheel", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*command, "--wheel-dir", tmp_path, sdist],
        check=True,
        env={
            **os.environ,
            "CARGO_NET_OFFLINE": "true",
            "CARGO_TARGET_DIR": str(BUILT),
            "PATH": os.pathsep.join([str(maturin().parent), os.environ["PATH"]]),
        },
    )
    (wheel,) = tmp_path.glob("*.whl")
    Alone(tmp_path, wheel).works()
