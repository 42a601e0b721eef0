"""The tags, contents and metadata of the wheels in target/wheels or the folder WHEELS, and that
they work.
"""

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

from isolated import IsolatedEnvironment

ROOT = Path(__file__).parents[1]
WHEELS = sorted(Path(os.environ.get("WHEELS", ROOT / "target" / "wheels")).absolute().glob("*.whl"))
assert WHEELS, "no wheel found; run make wheel"

NAME = "telethon_session_rust"
# Files in the package's folder that were built on this machine.
BUILD_SUFFIXES = {".so", ".pyd", ".pyc", ".dylib"}
# The stable ABI of Python 3.10, or the ABI of one free-threaded version, for which there is no
# stable ABI yet.
TAGS = re.compile(r"cp310-abi3|(cp3\d\d)-\1t")
# Compressed, in bytes. Every client of a file downloads the clients of all servers with it.
LARGEST = 5_000_000
PLATFORMS = re.compile(r"(manylinux(_\d+_\d+|2014)|musllinux_\d+_\d+)_\w+|macosx_\d+_\d+_\w+|win_\w+")


@pytest.fixture(params=WHEELS, ids=lambda wheel: wheel.name, scope="module")
def wheel(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Metadata:
    (found,) = (part for part in contents(wheel) if part.match("*.dist-info/METADATA"))
    return Metadata.from_email(ZipFile(wheel).read(str(found)), validate=True)


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> IsolatedEnvironment:
    return IsolatedEnvironment(tmp_path_factory.mktemp("isolated"), wheel)


def contents(wheel: Path) -> list[PurePosixPath]:
    return [PurePosixPath(name) for name in ZipFile(wheel).namelist()]


def test_tags(wheel: Path) -> None:
    name, _, build, tags = parse_wheel_filename(wheel.name)
    assert (name, build) == ("telethon-session-rust", ())
    for tag in tags:
        assert TAGS.fullmatch(f"{tag.interpreter}-{tag.abi}") and PLATFORMS.fullmatch(tag.platform), tag


def test_contents(wheel: Path) -> None:
    """The package, one extension and their metadata; no tests, and no files of this machine."""
    folder = ROOT / "python" / NAME
    package = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    package = {name for name in package if PurePosixPath(name).suffix not in BUILD_SUFFIXES}
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


def test_size(wheel: Path) -> None:
    assert wheel.stat().st_size <= LARGEST


def test_metadata(wheel: Path, metadata: Metadata) -> None:
    manifest = (ROOT / "Cargo.toml").read_text()
    version = re.search(r'^version = "(.+)"', manifest, re.M)
    assert version and str(metadata.version) == version[1] == wheel.name.split("-")[1]
    assert str(metadata.requires_python) == ">=3.10"
    assert metadata.license_expression == "Apache-2.0 OR MIT"
    assert metadata.license_files == ["LICENSE-APACHE", "LICENSE-MIT"]
    assert [str(requirement) for requirement in metadata.requires_dist or []] == [
        "telethon<2,>=1.24",
        'rich>=13; extra == "cli"',
    ]
    assert (metadata.description or "").strip() == (ROOT / "README.md").read_text().strip()
    assert (metadata.description_content_type or "").startswith("text/markdown")


def test_stable_abi(wheel: Path) -> None:
    if "-abi3-" in wheel.name:
        subprocess.run([sys.executable, "-m", "abi3audit", "--strict", wheel], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="auditwheel needs glibc on Linux")
def test_platform_tag_matches_the_required_symbols(wheel: Path) -> None:
    if "manylinux" not in wheel.name:
        return
    report = subprocess.run(
        [sys.executable, "-m", "auditwheel", "show", "--disable-isa-ext-check", wheel],
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    ).stdout
    tag = re.search(r'platform tag:\s+"(\w+)"', report)
    assert tag and tag[1] in wheel.name


def test_works_in_an_isolated_environment(environment: IsolatedEnvironment) -> None:
    environment.run_smoke_test()


def test_command(environment: IsolatedEnvironment) -> None:
    assert "telethon-session" in environment.run(environment.scripts / "telethon-session", "--help")


def test_types(environment: IsolatedEnvironment) -> None:
    """All types are known, except those of base classes from Telethon, which has no type hints."""
    pyright = [sys.executable, "-m", "pyright", "--verifytypes", NAME, "--ignoreexternal", "--outputjson"]
    variables = {**os.environ, "PATH": os.pathsep.join([str(environment.scripts), os.environ["PATH"]])}
    output = subprocess.run(pyright, cwd=environment.folder, env=variables, text=True, stdout=subprocess.PIPE).stdout
    found = json.loads(output)["typeCompleteness"]
    assert Path(found["pyTypedPath"]).is_relative_to(environment.folder.resolve())
    unknown = {
        symbol["name"].rpartition(".")[2]: [diagnostic["message"] for diagnostic in symbol["diagnostics"]]
        for symbol in found["symbols"]
        # The command line is not for import.
        if symbol["isExported"] and not symbol["isTypeKnown"] and not symbol["name"].startswith(f"{NAME}.cli.")
    }
    # What returns a class with such a base is not wholly known either.
    base = re.compile(
        r"Type of (metaclass|base class) .*unknown"
        r'|Return type is partially unknown\n\s*Return type is "(type\[)?(\w+Session( \| )?)+\]?"'
    )
    assert [message for messages in unknown.values() for message in messages if not base.fullmatch(message)] == []
    classes = {name for name in unknown if not name.islower()}
    assert all(name.endswith(("Session", "EntityCache")) for name in classes), unknown
