"""Rows of figures, as a table on the screen and as `results.md`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Unit = Callable[[float], str]

HEADINGS = ("what", "Telethon", "ours", "floor", "ratio", "to reach", "reached?")
FALLS_SHORT = "falls short"
# In a log, lines are as long as the tables want them.
CONSOLE = Console(width=None if sys.stdout.isatty() else 150, highlight=False)


@dataclass(frozen=True)
class Row:
    """Cells as they are shown; `met` is `None` where there is no figure to reach."""

    what: str
    theirs: str = ""
    ours: str = ""
    floor: str = ""
    ratio: str = ""
    reach: str = ""
    met: bool | None = None

    @property
    def verdict(self) -> str:
        return {None: "", True: "yes", False: FALLS_SHORT}[self.met]

    @property
    def cells(self) -> tuple[str, ...]:
        return (self.what, self.theirs, self.ours, self.floor, self.ratio, self.reach, self.verdict)


@dataclass(frozen=True)
class Theme:
    title: str
    note: str
    rows: list[Row]
    headings: Sequence[str] = HEADINGS
    # For the plot: seconds a lookup takes, by side and number of entities.
    curves: dict[str, dict[int, float]] = field(default_factory=dict)
    # A table without figures to reach that goes below, with its headings first.
    details: list[tuple[str, ...]] = field(default_factory=list)


def faster(what: str, theirs: float, ours: float, unit: Unit, reach: float | None = None) -> Row:
    """How many times less ours takes than theirs."""
    ratio = theirs / ours
    met = None if reach is None else ratio >= reach
    return Row(what, unit(theirs), unit(ours), "", times(ratio), "" if reach is None else f"≥ {times(reach)}", met)


def beside(what: str, ours: float, least: float, unit: Unit, reach: float | None = None, remark: str = "") -> Row:
    """How many times more ours takes than the least there can be, or than what else the remark names."""
    ratio = ours / least
    met = None if reach is None else ratio <= reach
    shown = "" if reach is None else f"≤ {times(reach)}"
    return Row(what, "", unit(ours), f"{unit(least)} {remark}".rstrip(), times(ratio), shown, met)


def within(
    what: str, ours: float, limit: float, unit: Unit, theirs: float | None = None, floor: float | None = None
) -> Row:
    """Ours itself must not be more than the limit."""

    def shown(value: float | None) -> str:
        return "" if value is None else unit(value)

    return Row(what, shown(theirs), unit(ours), shown(floor), reach=f"≤ {unit(limit)}", met=ours <= limit)


def medians(rounds: int) -> str:
    """What the figures are, at the end of a note."""
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


def bytes_each(value: float) -> str:
    return f"{value:,.0f} bytes"


def number(value: float) -> str:
    return f"{value:,.0f}"


def percent(value: float) -> str:
    return f"{value:.1%}"


def _three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def show(theme: Theme) -> None:
    table = Table(*theme.headings, title=theme.title, caption=escape(theme.note), title_justify="left")
    table.caption_justify = "left"
    for column in table.columns[1:]:
        column.justify = "right"
    for row in theme.rows:
        table.add_row(*map(escape, row.cells), style="bold red" if row.met is False else "")
    CONSOLE.print(table)
    if theme.details:
        details = Table(*theme.details[0])
        for line in theme.details[1:]:
            details.add_row(*line)
        for column in details.columns:
            column.justify = "right"
        CONSOLE.print(details)


def show_verdict(themes: list[Theme]) -> None:
    rows = [row for theme in themes for row in theme.rows if row.met is not None]
    short = [row for row in rows if not row.met]
    CONSOLE.print(f"{len(rows) - len(short)} of {len(rows)} figures are reached.")
    for row in short:
        CONSOLE.print(f"  {FALLS_SHORT}: {escape(row.what)}: {row.ratio or row.ours}, to reach: {row.reach}")


def write(path: Path, themes: list[Theme], head: Sequence[str]) -> None:
    lines = ["# What `make bench` measured", ""]
    for paragraph in head:
        lines += [paragraph, ""]
    for theme in themes:
        lines += [f"## {theme.title}", "", theme.note, ""]
        lines += _markdown([tuple(theme.headings), *(row.cells for row in theme.rows)], left=1)
        if theme.details:
            lines += _markdown(theme.details, left=0)
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def _markdown(table: Sequence[Sequence[str]], left: int) -> list[str]:
    marked = [[f"**{cell}**" if cell == FALLS_SHORT else cell for cell in line] for line in table]
    rule = [("---" if column < left else "---:") for column in range(len(table[0]))]
    return [f"| {' | '.join(line)} |" for line in (marked[0], rule, *marked[1:])] + [""]
