"""What is said: results on stdout; messages and progress on stderr. Nothing is coloured, or cut, but on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from itertools import islice
from typing import Any

# So many rows at a time are laid out together where the whole table may be long.
_BLOCK = 1000
# What is not printable and yet part of words and emoji.
_JOINERS = "\u200c\u200d"


def say(text: str) -> None:
    print(text, file=sys.stderr)


def warn(text: str) -> None:
    say(f"telethon-session: warning: {text}")


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Numbers are put to the right, `None` is left empty."""
    if sys.stdout.isatty():
        _print_coloured(columns, rows)
    else:
        _print_plain(columns, rows)


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """What something is called, and what it is."""
    _print_plain((), ((what, shown(value)) for what, value in pairs if value is not None))


def shown(value: object) -> str:
    """Text out of a file as a terminal takes it for nothing but text."""
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    return "".join(map(_as_letter, str(value)))


def _as_letter(letter: str) -> str:
    if letter.isprintable() or letter in _JOINERS:
        return letter
    return " " if letter.isspace() else "\N{REPLACEMENT CHARACTER}"


def size(count: int) -> str:
    from rich.filesize import decimal

    return decimal(count)


def when(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"


def utc(seconds: float | None) -> str | None:
    """For JSON."""
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Shows, on a terminal, how far something is; the function is told how much more has been done."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(file=sys.stderr, force_terminal=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)


def _print_coloured(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    cells = [list(row) for row in rows]
    for at, column in enumerate(columns):
        is_number = any(isinstance(row[at], int) for row in cells)
        table.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(shown(value)) for value in row))
    Console(file=sys.stdout, force_terminal=True).print(table)


def _print_plain(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    from rich.cells import cell_len

    widths = [cell_len(column) for column in columns]
    head: list[Sequence[object]] = [columns] if columns else []
    rows = iter(rows)
    while block := [*head, *islice(rows, _BLOCK)]:
        head = []
        texts = [[shown(value) for value in row] for row in block]
        widths = widths or [0] * len(texts[0])
        widths = [
            max(width, *map(cell_len, cells)) for width, cells in zip(widths, zip(*texts, strict=True), strict=True)
        ]
        are_numbers = [any(isinstance(value, int) for value in values) for values in zip(*block, strict=True)]
        for cells in texts:
            line = []
            for text, width, is_number in zip(cells, widths, are_numbers, strict=True):
                padding = " " * (width - cell_len(text))
                line.append(padding + text if is_number else text + padding)
            print("  ".join(line).rstrip())
