"""The wheels in target/wheels, or in the folder WHEELS: for whom they are, what is in them, that they work."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import pytest
from packaging.metadata import Metadata
from packaging.utils import parse_wheel_filename

from alone import Alone

ROOT = Path(__file__).parents[1]
WHEELS = sorted(Path(os.environ.get("WHEELS", ROOT / "target" / "wheels")).absolute().glob("*.whl"))
assert WHEELS, "there is no wheel: make wheel"

NAME = "telethon_session_rust"
# What a package's folder holds that is for this machine alone.
MADE_HERE = {".so", ".pyd", ".pyc", ".dylib"}
# An extension for every Python from 3.10 on, or for one without the interpreter's lock, which has no such promise yet.
TAGS = re.compile(r"cp310-abi3|(cp3\d\d)-\1t")
PLATFORMS = re.compile(r"(manylinux(_\d+_\d+|2014)|musllinux_\d+_\d+)_\w+|macosx_\d+_\d+_\w+|win_\w+")


@pytest.fixture(params=WHEELS, ids=lambda wheel: wheel.name, scope="module")
def wheel(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Metadata:
    (found,) = (part for part in contents(wheel) if part.match("*.dist-info/METADATA"))
    return Metadata.from_email(ZipFile(wheel).read(str(found)), validate=True)


@pytest.fixture(scope="module")
def alone(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Alone:
    return Alone(tmp_path_factory.mktemp("alone"), wheel)


def contents(wheel: Path) -> list[PurePosixPath]:
    return [PurePosixPath(name) for name in ZipFile(wheel).namelist()]


def test_for_whom_it_is(wheel: Path) -> None:
    name, _, build, tags = parse_wheel_filename(wheel.name)
    assert (name, build) == ("telethon-session-rust", ())
    for tag in tags:
        assert TAGS.fullmatch(f"{tag.interpreter}-{tag.abi}") and PLATFORMS.fullmatch(tag.platform), tag


def test_what_is_in_it(wheel: Path) -> None:
    """The package, one extension, and what is said of them. Nothing of the tests, and nothing of this machine."""
    folder = ROOT / "python" / NAME
    package = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    package = {name for name in package if PurePosixPath(name).suffix not in MADE_HERE}
    assert {"py.typed", "_core.pyi"} <= package
    found: dict[str, list[str]] = {}
    for path in contents(wheel):
        found.setdefault(path.parts[0], []).append(str(PurePosixPath(*path.parts[1:])))
    info = next(name for name in found if name.endswith(".dist-info"))
    assert found.keys() == {NAME, info}
    extensions = set(found[NAME]) - package
    assert set(found[NAME]) - extensions == package
    assert [
        re.fullmatch(r"_core\.(abi3\.so|cpython-3\d\dt-[\w-]+\.so|(cp3\d\dt-\w+\.)?pyd)", name) for name in extensions
    ]
    assert len(extensions) == 1
    sbom = "sboms/telethon-session-rust.cyclonedx.json"
    licences = {"licenses/LICENSE-APACHE", "licenses/LICENSE-MIT"}
    assert set(found[info]) == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", sbom} | licences


def test_what_it_says_of_itself(wheel: Path, metadata: Metadata) -> None:
    manifest = (ROOT / "Cargo.toml").read_text()
    version = re.search(r'^version = "(.+)"', manifest, re.M)
    assert version and str(metadata.version) == version[1] == wheel.name.split("-")[1]
    assert str(metadata.requires_python) == ">=3.10"
    assert metadata.license_expression == "Apache-2.0 OR MIT"
    assert metadata.license_files == ["LICENSE-APACHE", "LICENSE-MIT"]
    assert [str(needed) for needed in metadata.requires_dist or []] == ["rich>=13", "telethon<2,>=1.24"]
    assert (metadata.description or "").strip() == (ROOT / "README.md").read_text().strip()
    assert (metadata.description_content_type or "").startswith("text/markdown")


def test_it_keeps_to_the_stable_abi(wheel: Path) -> None:
    if "-abi3-" in wheel.name:
        subprocess.run([sys.executable, "-m", "abi3audit", "--strict", wheel], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="auditwheel is for glibc on Linux")
def test_it_needs_no_more_of_linux_than_it_says(wheel: Path) -> None:
    if "manylinux" not in wheel.name:
        return
    said = subprocess.run(
        [sys.executable, "-m", "auditwheel", "show", "--disable-isa-ext-check", wheel],
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    ).stdout
    needed = re.search(r'platform tag:\s+"(\w+)"', said)
    assert needed and needed[1] in wheel.name


def test_it_works_alone(alone: Alone) -> None:
    alone.works()


def test_its_command(alone: Alone) -> None:
    assert "telethon-session" in alone.run(alone.scripts / "telethon-session", "--help")


def test_its_types(alone: Alone) -> None:
    """All are known but for the base that Telethon gives, which has none."""
    pyright = [sys.executable, "-m", "pyright", "--verifytypes", NAME, "--ignoreexternal", "--outputjson"]
    environment = {**os.environ, "PATH": os.pathsep.join([str(alone.scripts), os.environ["PATH"]])}
    answer = subprocess.run(pyright, cwd=alone.folder, env=environment, text=True, stdout=subprocess.PIPE).stdout
    found = json.loads(answer)["typeCompleteness"]
    assert Path(found["pyTypedPath"]).is_relative_to(alone.folder.resolve())
    unknown = {
        symbol["name"].rpartition(".")[2]: [fault["message"] for fault in symbol["diagnostics"]]
        for symbol in found["symbols"]
        if symbol["isExported"] and not symbol["isTypeKnown"]
    }
    base = re.compile(r"Type of (metaclass|base class) .*unknown")
    assert [message for faults in unknown.values() for message in faults if not base.fullmatch(message)] == []
    assert all(name.endswith(("Session", "EntityCache")) for name in unknown), unknown
