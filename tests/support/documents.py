"""The pages of the documentation as programs: their blocks of Python and of shell, in the order of the page.

Sybil finds the blocks: it knows Markdown, runs those of a page in one namespace, and names the page's own lines in
tracebacks; pytest-examples and mktestdocs have each block begin anew, or know Python only.

`python -m support.documents FOLDER` writes the Python of each page to a file there, for type checkers.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sybil import Document, Example
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

# What every reader has, and no page gives.
GIVEN: dict[str, Any] = {"api_id": 12345, "api_hash": "hash"}

FUTURE = "from __future__ import annotations"
# As mkdocs has it: a line that stands for a file of Python.
_INCLUDED = re.compile(r'^--8<-- "(.+\.py)"$', re.MULTILINE)


def fences(page: Path) -> list[str]:
    """The language of each block of a page."""
    return re.findall(r"^ *(?:```|~~~)+ *([^\n`~]+)$", page.read_text("utf-8"), re.MULTILINE)


def parsed(page: Path, **runs: Callable[[Example], Any]) -> Document:
    """A page with a way to run the blocks of each language."""
    text = _INCLUDED.sub(lambda line: (ROOT / line[1]).read_text("utf-8"), page.read_text("utf-8"))
    document = Document(text, str(page))
    for language, run in runs.items():
        for region in CodeBlockParser(language=language, evaluator=run)(document):
            document.add(region)
    return document


def run_page(page: Path, run_line: Callable[[str], None]) -> int:
    """Runs a page from top to bottom, the lines of its shell blocks by `run_line`; answers how many blocks it has."""

    def run_lines(example: Example) -> None:
        for line in example.parsed.splitlines():
            run_line(line)

    document = parsed(page, python=PythonEvaluator(), sh=run_lines)
    document.namespace.update(GIVEN)
    examples = list(document.examples())
    for example in examples:
        example.evaluate()
    return len(examples)


def program(page: Path) -> str:
    """All Python of a page. Its lines are where they are on the page, but below an included file; the first one, where
    the title is, gives what is given.
    """
    lines = [f"{FUTURE}; " + "; ".join(f"{name} = {value!r}" for name, value in GIVEN.items())]
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
