"""The plot in README: the time of a lookup against the number of entities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from report import number, seconds

# The label, colour, width and dashes of each line, by side.
LINES = {
    "SQLiteSession": ("Telethon, SQLiteSession", "#7a8594", 1.6, "-"),
    "MemorySession": ("Telethon, MemorySession", "#7a8594", 1.6, (0, (4, 2))),
    "Kurigram": ("Kurigram, SQLite with an index", "#3b78b8", 1.6, "-"),
    "RustSQLiteSession": ("RustSQLiteSession", "#c8442a", 2.8, "-"),
    "dict": ("a Python dict", "#7a8594", 1.2, (0, (1, 1.6))),
}
INK, GRID = "#2b3138", "#e4e7eb"
# In pixels, slightly more than the height of a line of text.
LABEL_GAP = 17
# Keep text as text, and make the output reproducible.
SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "lookup",
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 10.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def draw(curves: dict[str, dict[int, float]], path: Path) -> None:
    with pyplot.rc_context(SETTINGS):
        figure, axes = pyplot.subplots(figsize=(9, 5), dpi=100, facecolor="white")
        for side, (_, colour, width, dashes) in LINES.items():
            style: dict[str, Any] = {"color": colour, "linewidth": width, "linestyle": dashes, "zorder": 2 + width}
            axes.plot(*zip(*sorted(curves[side].items()), strict=True), marker="o", markersize=2 + width, **style)
        style_axes(axes, sorted(curves["dict"]))
        figure.subplots_adjust(left=0.085, right=0.655, top=0.88, bottom=0.12)
        label_ends(axes, curves)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
        pyplot.close(figure)


def style_axes(axes: Axes, sizes: list[int]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(sizes, [number(size) for size in sizes])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(LogLocator(subs=()))
    axes.yaxis.set_major_locator(LogLocator(numticks=20))
    axes.yaxis.set_minor_locator(LogLocator(subs=()))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: seconds(value)))
    axes.set_title("Time to find a username", loc="left", fontsize=13, fontweight="bold", pad=14)
    axes.set_xlabel("entities in the session")
    axes.grid(color=GRID, linewidth=0.8)
    axes.tick_params(length=0, pad=7)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)


def label_ends(axes: Axes, curves: dict[str, dict[int, float]]) -> None:
    """Writes the label and last value of each line to the right of its end, and separates
    overlapping labels.
    """
    last = None
    for side in sorted(LINES, key=lambda side: curves[side][max(curves[side])]):
        label, colour, width, _ = LINES[side]
        size, value = max(curves[side].items())
        height = axes.transData.transform((size, value))[1]
        placed = height if last is None else max(height, last + LABEL_GAP)
        last = placed
        axes.annotate(
            f"{label}  {seconds(value)}",
            (size, value),
            xytext=(12, (placed - height) * 72 / axes.figure.dpi),
            textcoords="offset points",
            color=colour if colour != LINES["dict"][1] else INK,
            fontweight="bold" if width > 2 else "normal",
            va="center",
            annotation_clip=False,
        )
