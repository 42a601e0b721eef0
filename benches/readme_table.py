"""Writes the table of figures in README from `results.md`."""

from __future__ import annotations

import re
from pathlib import Path

BEGIN, END = "<!-- figures of make bench -->\n", "<!-- end of figures -->\n"
# The name of each row in README, and the row of `results.md` it is taken from.
ROWS = {
    "CPU of a bot for a message, after `install()`": "CPU of a message, a whole bot",
    "CPU of a client for each participant it fetches, after `install()`": "CPU of a participant, a whole client",
    "an entity received, seen before": "seen before, each page just read, in a file",
    "a username looked up, among 1,000,000": "by username, among 1,000,000",
    "`save()` of 50,000 new entities: the event loop waits": "save() with 50,000 new entities",
    "memory for a small session in a file": "memory of each",
}


def write(results: Path, readme: Path) -> None:
    """Replaces the table between the two markers."""
    rows: dict[str, tuple[str, str, str]] = {}
    for line in results.read_text("utf-8").splitlines():
        if line.startswith("| ") and line.count("|") == 8:
            what, theirs, ours, _, ratio, *_ = (cell.strip() for cell in line.strip("|").split("|"))
            # If two rows have this name, take the one with a ratio.
            if what not in rows or ratio:
                rows[what] = (theirs, ours, ratio)
    lines = ["| | `SQLiteSession` | `RustSQLiteSession` | |", "|---|---:|---:|---:|"]
    for name, row in ROWS.items():
        theirs, ours, ratio = rows[row]
        lines.append(f"| {name} | {theirs} | {ours} | {ratio.replace(' x', ' times') if ratio else ''} |")
    text = readme.read_text("utf-8")
    between = re.compile(re.escape(BEGIN) + ".*" + re.escape(END), re.DOTALL)
    table = BEGIN + "\n" + "\n".join(lines) + "\n\n" + END
    readme.write_text(between.sub(lambda _: table, text), "utf-8")
