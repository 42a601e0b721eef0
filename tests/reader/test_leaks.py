"""Reading leaks neither references nor memory, whether it succeeds or fails."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from telethon.extensions import BinaryReader
from telethon.tl import TLObject, types
from telethon.tl.alltlobjects import tlobjects

from support.counters import tally
from support.tl_outcomes import reading
from support.tl_samples import SAMPLE, page, random_inputs, update

# Read before anything is counted, so that everything is planned and cached.
WARM_UP = 3
# How much a count may change by what the interpreter does meanwhile.
SLACK_REFERENCES, SLACK_BLOCKS, SLACK_BYTES = 50, 200, 4 << 20


class Refusing(TLObject):
    """Fails in Python, within objects that are read natively."""

    CONSTRUCTOR_ID = 0x0BADF00D

    @classmethod
    def from_reader(cls, reader: BinaryReader) -> Any:
        reader.tgread_object()
        raise LookupError("refused")


def refused(data: bytes) -> bytes:
    own = Refusing.CONSTRUCTOR_ID.to_bytes(4, "little") + data
    return b"\x15\xc4\xb5\x1c\x03\0\0\0" + data + data + own


VALID = [*(page(first=first) for first in range(0, 100, 20)), *SAMPLE[:100], *random_inputs(300, first=3_000)]
# Of each size, truncated everywhere.
TRUNCATED = [data[:length] for data in (page(2), update(), *SAMPLE[3:20]) for length in range(0, len(data), 7)]
DEFECTIVE = [*random_inputs(300, with_defects=True, first=6_000), *(refused(data) for data in (page(5), update()))]


@pytest.fixture(autouse=True)
def enabled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(tlobjects, Refusing.CONSTRUCTOR_ID, Refusing)
    with reading(ours=True):
        yield


def read_all(inputs: list[bytes]) -> int:
    """Reads each input and drops the result. Returns how many failed."""
    failed = 0
    for data in inputs:
        try:
            BinaryReader(data).tgread_object()
        except Exception:
            failed += 1
    return failed


def shared() -> list[Any]:
    """Returns objects that others refer to: constants, classes, functions, names of attributes."""
    classes = [types.User, types.Channel, types.PeerUser, types.Message, types.UserStatusRecently, *tlobjects.values()]
    names = [sys.intern(name) for name in ("id", "access_hash", "first_name", "user_id", "date", "peer_id", "_client")]
    functions = [getattr(cls.from_reader, "__func__", None) for cls in classes[:5]]
    return [
        None,
        True,
        False,
        0,
        1,
        5,
        200,
        -1,
        -5,
        "",
        b"",
        "a",
        *names,
        *functions,
        *classes,
        BinaryReader,
        tlobjects,
    ]


def counts(objects: list[Any]) -> list[int]:
    gc.collect()
    # It refers to names of attributes.
    sys._clear_type_cache()
    return [sys.getrefcount(each) for each in objects]


def resident() -> int:
    """Returns the bytes in use, or 0 where that is not known."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def check(inputs: list[bytes], reads: int) -> None:
    objects = shared()
    for _ in range(WARM_UP):
        read_all(inputs)
    before = counts(objects)
    blocks, memory = sys.getallocatedblocks(), resident()
    rounds = -(-reads // len(inputs))
    for _ in range(rounds):
        read_all(inputs)
    after = counts(objects)
    grown = {
        repr(each)[:80]: new - old
        for each, old, new in zip(objects, before, after, strict=True)
        if abs(new - old) > SLACK_REFERENCES
    }
    assert not grown
    assert sys.getallocatedblocks() - blocks < SLACK_BLOCKS
    assert resident() - memory < SLACK_BYTES
    tally("reader: reads without a leak", rounds * len(inputs))


CORPORA = {"valid": VALID, "truncated": TRUNCATED, "defective": DEFECTIVE}


@pytest.mark.parametrize("inputs", CORPORA.values(), ids=CORPORA)
def test_a_few_reads(inputs: list[bytes]) -> None:
    failed = read_all(inputs)
    assert failed < len(inputs) // 10 if inputs is VALID else failed > len(inputs) // 4
    check(inputs, 10 * len(inputs))


@pytest.mark.slow
@pytest.mark.parametrize("inputs", CORPORA.values(), ids=CORPORA)
def test_a_million_reads(inputs: list[bytes]) -> None:
    check(inputs, 400_000)


@pytest.mark.parametrize("rounds", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_planning_again_and_again(rounds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes that come and go, and switching the reader off and on, leave nothing behind."""

    def swap_and_read() -> None:
        derived = type(types.User)("Derived", (types.User,), {})
        tlobjects[types.User.CONSTRUCTOR_ID] = derived
        read_all([page(2)] * 4)
        tlobjects[types.User.CONSTRUCTOR_ID] = types.User
        read_all([page(2)] * 2)
        with reading(ours=False):
            pass

    for _ in range(WARM_UP):
        swap_and_read()
    objects = shared()
    before, blocks = counts(objects), sys.getallocatedblocks()
    for _ in range(rounds):
        swap_and_read()
    after = counts(objects)
    assert not [each for each, old, new in zip(objects, before, after, strict=True) if new - old >= rounds // 2]
    assert sys.getallocatedblocks() - blocks < SLACK_BLOCKS
    kinds = sum(cls.__name__ == "Derived" for cls in types.User.__subclasses__())
    assert kinds <= 2
    tally("reader: classes swapped without a leak", rounds)
