"""Objects that are read natively are as small as Telethon's, and share their keys alike."""

from __future__ import annotations

import gc
import random
import sys
import tracemalloc
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from telethon.extensions import BinaryReader
from telethon.tl import TLObject

from support.counters import tally
from support.tl_inputs import CLASSES, Inputs
from support.tl_outcomes import everything_in, reading
from support.tl_samples import message, page, random_inputs, update

PAGE = page(200)
# Read first, so that everything is planned.
WARM_UP = [PAGE, update(), message(), *random_inputs(300)]
TOLERANCE = 1.01


def read_twice(data: bytes) -> Any:
    """Returns what is read at the second time, when caches are filled."""
    BinaryReader(data).tgread_object()
    return BinaryReader(data).tgread_object()


def of_both(measured: Callable[[], Any]) -> tuple[Any, Any]:
    results = []
    for ours in (False, True):
        with reading(ours):
            for data in WARM_UP * 3:
                try:
                    BinaryReader(data).tgread_object()
                except Exception:
                    continue
            results.append(measured())
    return results[0], results[1]


@pytest.mark.parametrize("data", [PAGE, update(20, 20), message()], ids=["page", "update", "message"])
def test_memory_of_what_is_read(data: bytes) -> None:
    def traced() -> int:
        keep = [read_twice(data) for _ in range(20)]
        tracemalloc.start()
        try:
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()
            keep += [BinaryReader(data).tgread_object() for _ in range(50)]
            gc.collect()
            return tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()

    theirs, ours = of_both(traced)
    assert ours <= theirs * TOLERANCE


def test_sizes_of_each_class() -> None:
    """An object, its dictionary, and the order and identity of its keys."""
    datas = []
    for cls in CLASSES[::3]:
        for style in ("all", "none"):
            datas.append(Inputs(random.Random(cls.__qualname__), style).of(cls))

    def sizes() -> dict[type, list[tuple[int, int, list[int]]]]:
        found: dict[type, list[Any]] = defaultdict(list)
        for data in datas:
            try:
                result = read_twice(data)
            except Exception:
                continue
            for made in everything_in(result):
                found[type(made)].append((sys.getsizeof(made), *keys_of(made)))
        return found

    def keys_of(made: TLObject) -> tuple[int, list[int]]:
        attributes = vars(made)
        return sys.getsizeof(attributes), [id(name) for name in attributes]

    theirs, ours = of_both(sizes)
    assert theirs.keys() == ours.keys()
    for cls, expected in theirs.items():
        assert len(expected) == len(ours[cls])
        for (size, dictionary, names), (own_size, own_dictionary, own_names) in zip(expected, ours[cls], strict=True):
            assert names == own_names, cls
            assert own_size <= size * TOLERANCE and own_dictionary <= dictionary * TOLERANCE, cls
        tally("reader: objects as small as Telethon's", len(expected))


def test_lists_are_as_small() -> None:
    """A list that grew by `append` has room for more; ours needs none."""

    def sizes() -> int:
        made = read_twice(PAGE)
        return sys.getsizeof(made.users) + sys.getsizeof(made.chats)

    theirs, ours = of_both(sizes)
    assert ours <= theirs
