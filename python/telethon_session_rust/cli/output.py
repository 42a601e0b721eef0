"""Output: results on stdout, messages and progress on stderr.

Only a terminal gets colours and folded cells, and only if rich is installed. Everything else,
including the contents of pipes and files, is the same text with and without rich.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from itertools import islice
from typing import Any

from .width import cell_width

# Rows that are aligned together. A longer table is printed in several blocks.
_BLOCK_ROWS = 1000
# Not printable by themselves, but part of words and emoji.
_JOINERS = "\u200c\u200d"
_SIZE_UNITS = ("kB", "MB", "GB", "TB", "PB", "EB")


def print_message(text: str) -> None:
    print(text, file=sys.stderr)


def print_warning(text: str) -> None:
    print_message(f"telethon-session: warning: {text}")


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table. Aligns numbers to the right and leaves `None` empty."""
    if not (sys.stdout.isatty() and _print_rich_table(columns, rows)):
        _print_plain_table(columns, rows)


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Prints names and values, one pair a line. Skips values that are `None`."""
    _print_plain_table((), ((name, printable(value)) for name, value in pairs if value is not None))


def printable(value: object) -> str:
    """Formats a value for a terminal, without characters that would control it."""
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    return "".join(map(_printable_char, str(value)))


def _printable_char(char: str) -> str:
    if char.isprintable() or char in _JOINERS:
        return char
    return " " if char.isspace() else "\N{REPLACEMENT CHARACTER}"


def format_size(size: int) -> str:
    """Formats a number of bytes."""
    if size < 1000:
        return "1 byte" if size == 1 else f"{size} bytes"
    power = min((len(str(size)) - 1) // 3, len(_SIZE_UNITS))
    return f"{size / 1000**power:,.1f} {_SIZE_UNITS[power - 1]}"


def format_time(seconds: float) -> str:
    """Formats a Unix timestamp in local time."""
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"


def iso_utc(seconds: float | None) -> str | None:
    """Formats a Unix timestamp as ISO 8601 in UTC, for JSON."""
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


@contextmanager
def progress(description: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Shows a progress bar if stderr is a terminal and rich is installed.

    Args:
        description: The text beside the bar.
        total: The number of steps, if it is known.

    Yields:
        A function to call with the number of steps completed since the last call.
    """
    if not sys.stderr.isatty():
        yield lambda steps: None
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        yield lambda steps: None
        return
    console = Console(file=sys.stderr, force_terminal=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda steps: bar.advance(task, steps)


def _print_rich_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bool:
    """Prints a table that fits the terminal. Returns `False` without reading any row if rich is not
    installed.
    """
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return False
    rows = list(rows)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        is_number = any(isinstance(row[index], int) for row in rows)
        table.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(value)) for value in row))
    Console(file=sys.stdout, force_terminal=True).print(table)
    return True


def _print_plain_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    widths = [cell_width(column) for column in columns]
    head: list[Sequence[object]] = [columns] if columns else []
    rows = iter(rows)
    while block := [*head, *islice(rows, _BLOCK_ROWS)]:
        head = []
        texts = [[printable(value) for value in row] for row in block]
        widths = widths or [0] * len(texts[0])
        widths = [
            max(width, *map(cell_width, cells)) for width, cells in zip(widths, zip(*texts, strict=True), strict=True)
        ]
        are_numbers = [any(isinstance(value, int) for value in values) for values in zip(*block, strict=True)]
        for cells in texts:
            line = []
            for text, width, is_number in zip(cells, widths, are_numbers, strict=True):
                padding = " " * (width - cell_width(text))
                line.append(padding + text if is_number else text + padding)
            print("  ".join(line).rstrip())
