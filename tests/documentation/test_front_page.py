"""README is also the page on PyPI, so its links are absolute; each must lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.any_release

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
REPOSITORY = "telethon-session-rust/telethon-session-rust"
SITE = "https://telethon-session-rust.github.io/telethon-session-rust/"
IN_REPOSITORY = (
    f"https://github.com/{REPOSITORY}/blob/main/",
    f"https://raw.githubusercontent.com/{REPOSITORY}/main/",
)
LINKS = re.findall(r"\]\((\S+?)\)", README)


def sections(text: str) -> set[str]:
    return {line.strip("# ").lower().replace(" ", "-") for line in text.splitlines() if line.startswith("#")}


def test_every_link_is_absolute() -> None:
    assert len(LINKS) > 20
    assert [link for link in LINKS if not link.startswith("https://")] == []


def test_every_linked_file_exists() -> None:
    paths = [link.removeprefix(base) for link in LINKS for base in IN_REPOSITORY if link.startswith(base)]
    assert paths
    assert [path for path in paths if not (ROOT / path).is_file()] == []


def test_every_linked_page_of_the_site_exists() -> None:
    pages = [link.removeprefix(SITE) for link in LINKS if link.startswith(SITE) and link != SITE]
    assert pages
    for page, _, anchor in (page.partition("#") for page in pages):
        text = (ROOT / "docs" / page.replace(".html", ".md")).read_text("utf-8")
        assert not anchor or anchor in sections(text), page


def test_every_linked_section_exists() -> None:
    anchors = [link.partition("#")[2] for link in LINKS if link.startswith(f"https://github.com/{REPOSITORY}#")]
    assert set(anchors) <= sections(README)


def test_the_front_page_is_short() -> None:
    assert len(README.splitlines()) <= 120
