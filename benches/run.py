"""`make bench`: Telethon's session classes, ours, and the floor where there is one, in one process and one run.

Prints every figure beside the one to reach, and writes `results.md`, `lookup.svg` and the figures in README.
"""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import front_page
from report import CONSOLE, show, show_verdict, write
from stage import FULL, QUICK, Scale, Stage
from telethon_session_rust import RustSQLiteSession

# In this order. Each is imported when it is its turn: the processes that some of them start import this file too.
THEMES = (
    "ingest",
    "lookups",
    "entity_cache",
    "saving",
    "longest_page",
    "memory",
    "opening",
    "many_sessions",
    "receiving",
    "core_growth",
)


def main() -> None:
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="smaller numbers, about a minute; writes nothing by itself"
    )
    parser.add_argument("--out", type=Path, help="the folder to write to")
    parser.add_argument("--only", nargs="+", choices=THEMES, metavar="THEME", help="some of: " + ", ".join(THEMES))
    options = parser.parse_args()
    # A part is no result to keep, unless one says where.
    is_whole = not (options.quick or options.only)
    out = options.out or (here if is_whole else None)

    scale = QUICK if options.quick else FULL
    themes = []
    for line in head(scale):
        CONSOLE.print(line)
    with Stage.set(scale) as stage:
        for name in options.only or THEMES:
            themes.append(import_module(name).measure(stage))
            show(themes[-1])
    show_verdict(themes)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        write(out / "results.md", themes, head(scale))
        for curves in (theme.curves for theme in themes if theme.curves):
            import_module("plot").draw(curves, out / "lookup.svg")
    if is_whole and out == here:
        front_page.write(out / "results.md", here.parent / "README.md")


def head(scale: Scale) -> list[str]:
    versions = ", ".join(f"{name} {version(name)}" for name in ("Telethon", "Kurigram", "telethon-session-rust"))
    (ours,) = RustSQLiteSession()._execute("select sqlite_version()")
    return [
        f"Python {platform.python_version()}, {versions}; SQLite {sqlite3.sqlite_version} under Telethon and"
        f" Kurigram, {ours} under ours; {platform.system()}, {os.cpu_count()} CPUs ({cpu_model()}).",
        f"The quick form: at most {scale.most:,} entities, where the figures to reach are meant for a million."
        if scale.is_quick
        else "The full form.",
        "`ratio` is how many times less ours takes than Telethon where a ≥ is to be reached or nothing, and how many"
        " times the floor where a ≤ is. [README.md](README.md) says how it is measured.",
    ]


def cpu_model() -> str:
    """As the system calls it; Python itself knows little more than its family."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


if __name__ == "__main__":
    main()
