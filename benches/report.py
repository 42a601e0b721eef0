"""Tables of figures, on the terminal and in `results.md`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Unit = Callable[[float], str]

HEADINGS = ("what", "Telethon", "ours", "floor", "ratio", "target", "met?")
FALLS_SHORT = "falls short"
# Without a terminal, make lines wide enough for the tables.
CONSOLE = Console(width=None if sys.stdout.isatty() else 150, highlight=False)


@dataclass(frozen=True)
class Row:
    """The cells of a row as they are shown; `met` is `None` without a target."""

    what: str
    theirs: str = ""
    ours: str = ""
    floor: str = ""
    ratio: str = ""
    target: str = ""
    met: bool | None = None

    @property
    def verdict(self) -> str:
        return {None: "", True: "yes", False: FALLS_SHORT}[self.met]

    @property
    def cells(self) -> tuple[str, ...]:
        return (self.what, self.theirs, self.ours, self.floor, self.ratio, self.target, self.verdict)


@dataclass(frozen=True)
class Section:
    title: str
    note: str
    rows: list[Row]
    headings: Sequence[str] = HEADINGS
    # For the plot: seconds of a lookup, by side and number of entities.
    curves: dict[str, dict[int, float]] = field(default_factory=dict)
    # A second table without targets; the first row has its headings.
    details: list[tuple[str, ...]] = field(default_factory=list)


def speedup(what: str, theirs: float, ours: float, unit: Unit, target: float | None = None) -> Row:
    """Returns a row with Telethon's figure divided by ours, which must be at least the target."""
    ratio = theirs / ours
    met = None if target is None else ratio >= target
    return Row(what, unit(theirs), unit(ours), "", times(ratio), "" if target is None else f"≥ {times(target)}", met)


def over_floor(what: str, ours: float, floor: float, unit: Unit, target: float | None = None, remark: str = "") -> Row:
    """Returns a row with our figure divided by the floor, or by what the remark names; at most the
    target.
    """
    ratio = ours / floor
    met = None if target is None else ratio <= target
    shown = "" if target is None else f"≤ {times(target)}"
    return Row(what, "", unit(ours), f"{unit(floor)} {remark}".rstrip(), times(ratio), shown, met)


def at_most(
    what: str, ours: float, limit: float, unit: Unit, theirs: float | None = None, floor: float | None = None
) -> Row:
    """Returns a row whose own figure must be at most the limit."""

    def shown(value: float | None) -> str:
        return "" if value is None else unit(value)

    return Row(what, shown(theirs), unit(ours), shown(floor), target=f"≤ {unit(limit)}", met=ours <= limit)


def medians(rounds: int) -> str:
    """Returns the last sentence of a note, which says how many rounds the figures come from."""
    return f"Medians of {rounds} rounds." if rounds > 1 else "One round only."


def times(ratio: float) -> str:
    return f"{ratio:,.0f} x" if ratio >= 100 else f"{ratio:.3g} x"


def seconds(value: float) -> str:
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")):
        if value * factor >= 0.9995:
            return f"{_three_digits(value * factor)} {unit}"
    return f"{_three_digits(value * 1e9)} ns"


def kilobytes(value: float) -> str:
    return f"{value / 1000:,.1f} kB"


def megabytes(value: float) -> str:
    return f"{value / 1e6:,.2f} MB"


def bytes_each(value: float) -> str:
    return f"{value:,.0f} bytes"


def number(value: float) -> str:
    return f"{value:,.0f}"


def percent(value: float) -> str:
    return f"{value:.1%}"


def _three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def show(section: Section) -> None:
    table = Table(*section.headings, title=section.title, caption=escape(section.note), title_justify="left")
    table.caption_justify = "left"
    for column in table.columns[1:]:
        column.justify = "right"
    for row in section.rows:
        table.add_row(*map(escape, row.cells), style="bold red" if row.met is False else "")
    CONSOLE.print(table)
    if section.details:
        details = Table(*section.details[0])
        for line in section.details[1:]:
            details.add_row(*line)
        for column in details.columns:
            column.justify = "right"
        CONSOLE.print(details)


def show_verdict(sections: list[Section]) -> None:
    rows = [row for section in sections for row in section.rows if row.met is not None]
    missed = [row for row in rows if not row.met]
    CONSOLE.print(f"{len(rows) - len(missed)} of {len(rows)} targets are met.")
    for row in missed:
        CONSOLE.print(f"  {FALLS_SHORT}: {escape(row.what)}: {row.ratio or row.ours}, target: {row.target}")


def write(path: Path, sections: list[Section], head: Sequence[str]) -> None:
    lines = ["# What `make bench` measured", ""]
    for paragraph in head:
        lines += [paragraph, ""]
    for section in sections:
        lines += [f"## {section.title}", "", section.note, ""]
        lines += _markdown([tuple(section.headings), *(row.cells for row in section.rows)], left=1)
        if section.details:
            lines += _markdown(section.details, left=0)
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def _markdown(table: Sequence[Sequence[str]], left: int) -> list[str]:
    marked = [[f"**{cell}**" if cell == FALLS_SHORT else cell for cell in line] for line in table]
    rule = [("---" if column < left else "---:") for column in range(len(table[0]))]
    return [f"| {' | '.join(line)} |" for line in (marked[0], rule, *marked[1:])] + [""]
