"""Reading while the interpreter is busy with other things: tracing, threads, garbage collection."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from telethon.extensions import BinaryReader
from telethon.tl import TLObject, types
from telethon.tl.alltlobjects import tlobjects

from support.tl_inputs import CLASSES
from support.tl_outcomes import assert_same, difference, everything_in, read, reading
from support.tl_samples import SAMPLE, page, random_inputs, update
from telethon_session_rust import tl_reader

THREADS = 8
INPUTS = [*SAMPLE, page(200)]


@pytest.fixture(autouse=True)
def enabled() -> Iterator[None]:
    with reading(ours=True):
        yield


# Tracing


@contextmanager
def traced() -> Iterator[None]:
    """Traces lines and opcodes, as debuggers and coverage do."""

    def trace(frame: Any, event: str, argument: Any) -> Any:
        frame.f_trace_opcodes = True
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


@contextmanager
def profiled() -> Iterator[None]:
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, argument: None)
    try:
        yield
    finally:
        sys.setprofile(before)


@contextmanager
def monitored() -> Iterator[None]:
    """Uses the events that coverage uses from Python 3.12 on, which change the code in place."""
    if sys.version_info < (3, 12):
        pytest.skip("Python before 3.12 has no sys.monitoring")
    monitoring = sys.monitoring
    tool = monitoring.PROFILER_ID
    monitoring.use_tool_id(tool, "tests")
    try:
        monitoring.set_events(tool, monitoring.events.LINE | monitoring.events.INSTRUCTION)
        yield
    finally:
        monitoring.set_events(tool, 0)
        monitoring.free_tool_id(tool)


@pytest.mark.parametrize("watched", [traced, profiled, monitored])
@pytest.mark.parametrize("is_planned", [False, True], ids=["unplanned", "planned"])
def test_while_code_is_watched(watched: Callable[[], Any], is_planned: bool) -> None:
    # Each case has classes that no other has planned.
    part = [traced, profiled, monitored].index(watched) * 2 + is_planned
    inputs = [*random_inputs(60, first=1000 * (part + 1)), page(), update()]
    if is_planned:
        for data in inputs * 3:
            read(data)
    with watched():
        for cls in CLASSES[part::97]:
            tl_reader.explain(cls)
        for _ in range(3):
            assert_same(inputs)
    for _ in range(2):
        assert_same(inputs)


# Threads


@pytest.mark.parametrize("is_planned", [False, True], ids=["unplanned", "planned"])
def test_in_several_threads(is_planned: bool) -> None:
    inputs = [*random_inputs(150, first=20_000), *INPUTS]
    if is_planned:
        for data in inputs * 3:
            read(data)
    with reading(ours=False):
        expected = [read(data) for data in inputs]
    barrier = threading.Barrier(THREADS)

    def read_all(first: int) -> list[Any]:
        barrier.wait()
        order = [*range(first, len(inputs)), *range(first)]
        return sorted((number, read(inputs[number])) for number in order)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(THREADS) as executor:
            results = list(executor.map(read_all, range(0, 8 * THREADS, 8)))
    finally:
        sys.setswitchinterval(interval)
    for result in results:
        for number, outcome in result:
            found = difference(expected[number], outcome)
            assert not found, f"input {number}: {found}"


def test_while_another_thread_changes_a_class() -> None:
    """A read sees the class before or after the change, and nothing else."""
    derived = type(types.User)("Derived", (types.User,), {})
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            for cls in (derived, types.User):
                tlobjects[types.User.CONSTRUCTOR_ID] = cls

    data = page(20)
    changer = threading.Thread(target=change)
    changer.start()
    try:
        for _ in range(300):
            (made, error), *_ = read(data).results
            assert error is None and {type(user) for user in made.users} <= {types.User, derived}
    finally:
        stop.set()
        changer.join()
        tlobjects[types.User.CONSTRUCTOR_ID] = types.User
    assert_same(INPUTS)


# Garbage collection


@pytest.fixture
def collector() -> Iterator[None]:
    was_enabled, threshold = gc.isenabled(), gc.get_threshold()
    yield
    (gc.enable if was_enabled else gc.disable)()
    gc.set_threshold(*threshold)


class Own(TLObject):
    """Looks at the collector, and may change it or raise an error."""

    CONSTRUCTOR_ID = 0x0BADF00D
    seen: list[bool]
    action: Callable[[], None]

    @classmethod
    def from_reader(cls, reader: BinaryReader) -> list[Any]:
        cls.seen.append(gc.isenabled())
        cls.action()
        return [reader.read_int()]


def fail() -> None:
    raise LookupError


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("is_enabled", [False, True], ids=["off", "on"])
@pytest.mark.parametrize("action", [int, fail, interrupt, gc.disable, gc.enable], ids=lambda action: action.__name__)
def test_the_collector_stays_on_or_off(
    is_enabled: bool, action: Callable[[], None], collector: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Own.CONSTRUCTOR_ID.to_bytes(4, "little") + bytes(4)
    large = page(200)
    inputs = [
        *INPUTS,
        large[: len(large) // 2],
        b"\x15\xc4\xb5\x1c\x04\0\0\0" + large + own + large + own,
    ]
    monkeypatch.setitem(tlobjects, Own.CONSTRUCTOR_ID, Own)
    monkeypatch.setattr(Own, "action", staticmethod(action), raising=False)
    states = []
    for ours in (False, True):
        monkeypatch.setattr(Own, "seen", [], raising=False)
        with reading(ours):
            for data in inputs * 2:
                (gc.enable if is_enabled else gc.disable)()
                with suppress(LookupError, KeyboardInterrupt, Exception):
                    BinaryReader(data).tgread_object()
                Own.seen.append(gc.isenabled())
        states.append(Own.seen)
    assert states[0] == states[1]


def test_collections_see_whole_objects(collector: None) -> None:
    """With ours, no collection sees a list with empty slots, or an object with some of its
    attributes that is not seen with Telethon's. Objects without any are seen with both.
    """
    outcomes = [read(data) for data in INPUTS]
    known = {shape(made) for outcome in outcomes for made in everything_in(outcome.results[0][0])}
    known |= {(cls, 1) for cls, _ in known}
    found: set[tuple[type, int]] = set()

    def look(phase: str, info: dict[str, int]) -> None:
        for each in gc.get_objects():
            if type(each) is list:
                # An empty slot ends the process here.
                for item in each:
                    id(item)
            elif isinstance(each, TLObject):
                found.add(shape(each))

    seen = []
    for ours in (False, True):
        with reading(ours):
            gc.collect()
            gc.freeze()
            gc.enable()
            gc.set_threshold(7, 5, 5)
            gc.callbacks.append(look)
            try:
                for data in INPUTS[-20:]:
                    read(data)
            finally:
                gc.callbacks.remove(look)
                gc.unfreeze()
        seen.append(found - known)
        found.clear()
    assert seen[1] <= seen[0]


def shape(made: TLObject) -> tuple[type, int]:
    """Returns the class and how much the object refers to. Reading its `__dict__` in a collection
    ends a process of Python 3.11.
    """
    return type(made), len(gc.get_referents(made))
