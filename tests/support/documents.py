"""Runs the pages of the documentation as programs: their blocks of Python and shell, in the order
of the page.

Sybil finds the blocks: it parses Markdown, runs the blocks of a page in one namespace, and shows
the page's line numbers in tracebacks. pytest-examples and mktestdocs run each block in a new
namespace, or support Python only.

`python -m support.documents FOLDER` writes the Python of each page to a file there, for type
checkers.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sybil import Document, Example
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

# Names that the pages use but do not define.
NAMES: dict[str, Any] = {"api_id": 12345, "api_hash": "hash"}

# The URLs of servers in the pages, by the kind of server. A real server replaces each when a page is run.
URLS = {
    "redis": "redis://localhost/0",
    "postgres": "postgresql://bot@localhost/telethon",
    "mysql": "mysql://bot@localhost/telethon",
    "mongodb": "mongodb://localhost/telethon",
}

# The prefix of the shell lines that are run.
TOOL = "telethon-session "

FUTURE = "from __future__ import annotations"
# The include directive of mkdocs, with a Python file.
_INCLUDE = re.compile(r'^--8<-- "(.+\.py)"$', re.MULTILINE)


def fences(page: Path) -> list[str]:
    """Returns the language of each block of a page."""
    return re.findall(r"^ *(?:```|~~~)+ *([^\n`~]+)$", page.read_text("utf-8"), re.MULTILINE)


def servers_of(page: Path) -> list[str]:
    """Returns the kinds of servers that the blocks of a page use."""
    blocks = "".join(example.parsed for example in parsed(page, python=PythonEvaluator(), sh=print).examples())
    return [kind for kind, url in URLS.items() if url in blocks]


def parsed(page: Path, urls: Mapping[str, str] | None = None, **evaluators: Callable[[Example], Any]) -> Document:
    """Parses a page, with an evaluator for the blocks of each language. `urls` has the URLs of real
    servers, by kind.
    """
    text = _INCLUDE.sub(lambda line: (ROOT / line[1]).read_text("utf-8"), page.read_text("utf-8"))
    for kind, url in (urls or {}).items():
        text = text.replace(URLS[kind], url)
    document = Document(text, str(page))
    for language, evaluator in evaluators.items():
        for region in CodeBlockParser(language=language, evaluator=evaluator)(document):
            document.add(region)
    return document


def run_page(page: Path, run_line: Callable[[str], None], urls: Mapping[str, str] | None = None) -> int:
    """Runs a page from top to bottom, with `run_line` for each line of shell and with the URLs of real
    servers, and returns the number of blocks.
    """

    def run_lines(example: Example) -> None:
        for line in example.parsed.splitlines():
            run_line(line)

    document = parsed(page, urls, python=PythonEvaluator(), sh=run_lines)
    document.namespace.update(NAMES)
    examples = list(document.examples())
    for example in examples:
        example.evaluate()
    return len(examples)


def run_line(line: str) -> None:
    """Runs a line of shell if it is a command of ours."""
    if line.startswith(TOOL):
        path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
        done = subprocess.run(line, shell=True, env=os.environ | {"PATH": path}, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"


def program(page: Path) -> str:
    """Returns all Python of a page, with the page's line numbers up to the first included file.

    The first line, where the page has its title, defines `NAMES`.
    """
    lines = [f"{FUTURE}; " + "; ".join(f"{name} = {value!r}" for name, value in NAMES.items())]
    for example in parsed(page, python=PythonEvaluator()).examples():
        first = example.line + example.parsed.line_offset
        lines += [""] * (first - len(lines))
        lines += ["" if line == FUTURE else line for line in example.parsed.splitlines()]
    return "\n".join([*lines, ""])


def write_programs(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for page in PAGES:
        name = page.stem.lower().replace("-", "_")
        (folder / f"page_{name}.py").write_text(program(page), "utf-8")


if __name__ == "__main__":
    write_programs(Path(sys.argv[1]))
