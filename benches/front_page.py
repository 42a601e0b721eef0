"""The figures that README shows, out of `results.md`."""

from __future__ import annotations

import re
from pathlib import Path

BEGIN, END = "<!-- figures of make bench -->\n", "<!-- end of figures -->\n"
# What README says, and the row of results.md it is.
ROWS = {
    "an entity received, new": "new entities, each page just read, in a file",
    "an entity received, seen before": "seen again, each page just read, in a file",
    "a username looked up, among 1,000": "by username, among 1,000",
    "a username looked up, among 1,000,000": "by username, among 1,000,000",
    "a name looked up, among 1,000,000": "by name, among 1,000,000",
    "`save()` of 50,000 new entities: the event loop waits": "save() with 50,000 new entities",
    "the longest call while 1,000,000 entities come": "longest page, in a file",
    "memory for an entity, with `MemorySession` and `RustMemorySession`": "500,000 entities, in memory",
    "memory for a small session in a file": "memory of each",
    "`save()` on 1,000 sessions in the event loop": "save() on each",
    "the session's share of the client's CPU": "the session's share of the client's CPU, all threads",
}


def write(results: Path, readme: Path) -> None:
    rows: dict[str, tuple[str, str, str]] = {}
    for line in results.read_text("utf-8").splitlines():
        if line.startswith("| ") and line.count("|") == 8:
            what, theirs, ours, _, ratio, *_ = (cell.strip() for cell in line.strip("|").split("|"))
            # Of two rows about one thing, the one with the ratio.
            if what not in rows or ratio:
                rows[what] = (theirs, ours, ratio)
    lines = ["| | `SQLiteSession` | `RustSQLiteSession` | |", "|---|---:|---:|---:|"]
    for what, row in ROWS.items():
        theirs, ours, ratio = rows[row]
        lines.append(f"| {what} | {theirs} | {ours} | {ratio.replace(' x', ' times') if ratio else ''} |")
    text = readme.read_text("utf-8")
    between = re.compile(re.escape(BEGIN) + ".*" + re.escape(END), re.DOTALL)
    table = BEGIN + "\n" + "\n".join(lines) + "\n\n" + END
    readme.write_text(between.sub(lambda _: table, text), "utf-8")
