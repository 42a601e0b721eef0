"""README and docs/ are correct: the code of each page is run from top to bottom."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

import pytest

from support import servers
from support.counters import tally
from support.documents import PAGES, ROOT, TOOL, fences, parsed, run_line, run_page, servers_of
from support.loopback import Account

pytestmark = pytest.mark.any_release

pytest_plugins = ["support.reader"]

# test_moving.py and test_coming_from.py run these with the sessions of other programs as sources.
SEPARATE = ("moving.md", "coming-from-")
RUN_PAGES = [page for page in PAGES if not page.name.startswith(SEPARATE) and fences(page)]
# These lines are not run, because they would install, build or measure.
MAKE = re.compile(r"make ([a-z-]+)( [A-Z]+=\S+)*")
FOLDERS = ["benches", "crates", "docs", "examples", "fuzz", "python", "src", "tests"]
INSTALL = "pip install telethon-session-rust"


@pytest.mark.parametrize("page", RUN_PAGES, ids=lambda page: page.name)
def test_a_page_runs(page: Path, reader: Account) -> None:
    kinds = servers_of(page)
    if missing := sorted({*kinds} & {*servers.missing()}):
        pytest.skip(f"not installed: the server for {', '.join(missing)}")
    with ExitStack() as running:
        urls = {kind: running.enter_context(servers.running(kind)).url() for kind in kinds}
        tally("blocks of the documentation", run_page(page, run_line, urls))


def test_the_pages_of_servers_need_them() -> None:
    pages = {page.name: servers_of(page) for page in PAGES}
    assert pages["redis.md"] == ["redis"]
    assert pages["sql.md"] == ["postgres", "mysql"]
    assert pages["mongodb.md"] == ["mongodb"]
    assert pages["README.md"] == ["redis"]
    assert pages["getting-started.md"] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_has_a_known_language(page: Path) -> None:
    languages = fences(page)
    assert set(languages) <= {"python", "sh", "text"}
    blocks = list(parsed(page, python=print, sh=print).examples())
    assert len(blocks) == len(languages) - languages.count("text")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_shell_line_is_a_known_command(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for block in parsed(page, sh=print).examples():
        for line in block.parsed.splitlines():
            make = MAKE.fullmatch(line)
            assert line.startswith(TOOL) or line == INSTALL or (make and make[1] in targets), line


@pytest.mark.parametrize("page", ["SECURITY.md", "CONTRIBUTING.md"])
def test_every_named_file_exists(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    named = re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*)`", text)
    tests = re.findall(r"`(test_\w+\.py)`", text)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
    assert [name for name in tests if not any((ROOT / "tests").glob(f"*/{name}"))] == []
