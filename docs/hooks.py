"""Adds the pages outside docs/ to the site."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
ELSEWHERE = ["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"]
ELSEWHERE += ["benches/README.md", "benches/results.md", "benches/lookup.svg"]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for path in ELSEWHERE:
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Makes links work in the site, where all pages are in one folder."""
    return re.sub(r"\]\((?:\.\./|docs/)", "](", markdown)
