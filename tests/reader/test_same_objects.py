"""Our reader makes what Telethon's makes of any bytes: objects, errors, and the reader's state.

Every class of the installed Telethon is read, with random values and edges, and with defects.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest
from telethon.tl import types

from support.counters import tally
from support.profile import PROFILE
from support.tl_inputs import CLASSES, CORE, EVERYTHING, Inputs
from support.tl_mutations import NESTINGS, Nesting, mutated
from support.tl_outcomes import both, difference, difference_of_texts, read, reading
from telethon_session_rust import tl_reader

SLICES = 16
INPUTS = {"quick": 40_000, "default": 100_000, "long": 400_000}[PROFILE]
INPUTS_OF_EACH = -(-INPUTS // len(CLASSES))
# Of every class in each style of flags.
STYLES = ("all", "none", "one", "mixed", "mixed")
# Up to this many levels from those at which Telethon raises `RecursionError`, a reader that needs
# fewer frames may succeed.
BAND = 170


@pytest.fixture(autouse=True)
def predictable_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some classes draw a `random_id`."""
    monkeypatch.setattr(os, "urandom", bytes)


def inputs_of(cls: type) -> Iterator[tuple[str, bytes, int]]:
    """Yields inputs with their seed, and how many objects to read from each. Every other input has
    defects.
    """
    for number in range(INPUTS_OF_EACH):
        seed = f"{cls.__module__}.{cls.__qualname__} {number}"
        rng = random.Random(seed)
        data = Inputs(rng, STYLES[number // 2 % len(STYLES)]).of(cls)
        yield (seed, mutated(data, rng), 2) if number % 2 else (seed, data, 1)


@pytest.mark.parametrize("part", range(SLICES))
def test_every_class(part: int) -> None:
    for cls in EVERYTHING[part::SLICES]:
        seeds, *inputs = zip(*inputs_of(cls), strict=True)
        for number, (theirs, ours) in enumerate(both(zip(*inputs, strict=True))):
            found = difference(theirs, ours)
            (expected, error), (result, _) = theirs.results[0], ours.results[0]
            if not found and not error and number < len(STYLES):
                # Computed from the attributes that are equal.
                found = difference_of_texts(expected, result)
            assert not found, f"seed {seeds[number]!r}: {found}"
            tally(f"reader: inputs {'refused' if error else 'read'} as by Telethon")


def test_every_class_is_read_natively() -> None:
    """All but `FutureSalts`, whose `from_reader` calls another class's."""
    with reading(ours=True):
        reasons = {cls: tl_reader.explain(cls) for cls in EVERYTHING}
    assert {cls for cls, reason in reasons.items() if reason} == {types.FutureSalts, *CORE}
    tally("reader: classes read natively", sum(reason is None for reason in reasons.values()))


@pytest.mark.parametrize("nesting", NESTINGS, ids=lambda nesting: nesting.__name__)
def test_deep_nesting(nesting: Nesting) -> None:
    limit = recursion_limit(nesting)
    below = [level for level in (1, 50, 90, 99, 100, 101, 110, 200, 300, 400, 600, 800) if level <= limit - BAND]
    above = [limit + BAND, 2 * limit, 10 * limit, 50 * limit]
    rng = random.Random(1)
    inputs = [nesting(level, rng) for level in (*below, *above) for _ in range(5)]
    inputs += [mutated(data, rng) for data in inputs[: 5 * len(below)] for _ in range(5)]
    for number, (theirs, ours) in enumerate(both((data, 1) for data in inputs)):
        found = difference(theirs, ours)
        assert not found, f"input {number}: {found}"
        if 5 * len(below) <= number < 5 * (len(below) + len(above)):
            assert isinstance(ours.results[0][1], RecursionError)
        tally("reader: deeply nested inputs")


def recursion_limit(nesting: Nesting) -> int:
    """Returns the levels from which on Telethon's reader raises `RecursionError`."""
    with reading(ours=False):
        below, above = 1, 5_000
        while above - below > 1:
            middle = (below + above) // 2
            (_, error), *_ = read(nesting(middle, random.Random(1))).results
            below, above = (below, middle) if isinstance(error, RecursionError) else (middle, above)
    return above
