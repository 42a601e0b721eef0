"""`make bench`: compares our session classes with Telethon's, and with a floor where there is one.

Prints every figure with its target, and writes `results.md`, `lookup.svg` and the table in README.
"""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import readme_table
from harness import FULL, QUICK, Harness, Scale
from report import CONSOLE, show, show_verdict, write
from telethon_session_rust import RustSQLiteSession

# Run in this order. Each is imported only when it runs, because the processes that some of them
# start import this file.
BENCHMARKS = (
    "reading",
    "ingest",
    "lookups",
    "entity_cache",
    "saving",
    "max_latency",
    "known",
    "memory",
    "bounded",
    "opening",
    "many_sessions",
    "client_cpu",
    "whole_client",
    "core_growth",
    "stores",
    "footprint",
)


def main() -> None:
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="smaller sizes, about a minute; writes nothing without --out"
    )
    parser.add_argument("--out", type=Path, help="folder to write to")
    parser.add_argument(
        "--only", nargs="+", choices=BENCHMARKS, metavar="NAME", help="some of: " + ", ".join(BENCHMARKS)
    )
    options = parser.parse_args()
    # Partial results are written only to an explicit folder.
    is_complete = not (options.quick or options.only)
    out = options.out or (here if is_complete else None)

    scale = QUICK if options.quick else FULL
    sections = []
    for line in head(scale):
        CONSOLE.print(line)
    with Harness.create(scale) as harness:
        for name in options.only or BENCHMARKS:
            sections.append(import_module(name).measure(harness))
            show(sections[-1])
    show_verdict(sections)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        write(out / "results.md", sections, head(scale))
        for curves in (section.curves for section in sections if section.curves):
            import_module("plot").draw(curves, out / "lookup.svg")
    if is_complete and out == here:
        readme_table.write(out / "results.md", here.parent / "README.md")


def head(scale: Scale) -> list[str]:
    versions = ", ".join(f"{name} {version(name)}" for name in ("Telethon", "Kurigram", "telethon-session-rust"))
    (ours,) = RustSQLiteSession()._execute("select sqlite_version()")
    return [
        f"Python {platform.python_version()}, {versions}; SQLite {sqlite3.sqlite_version} under Telethon and"
        f" Kurigram, {ours} under ours; {platform.system()}, {os.cpu_count()} CPUs ({cpu_model()}).",
        f"Quick run: at most {scale.largest:,} entities, while the targets are meant for a million."
        if scale.is_quick
        else "Full run.",
        "`ratio` is Telethon's figure divided by ours if the target is a ≥ or missing, and ours divided by the floor if"
        " it is a ≤. [README.md](README.md) describes the method.",
    ]


def cpu_model() -> str:
    """Returns the name that Linux reports, because Python knows little more than the CPU family."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


if __name__ == "__main__":
    main()
