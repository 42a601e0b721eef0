"""Makes session files malformed: truncates, overwrites and shuffles them, and changes fields of
their header.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

SECTOR = 512
# Offset in the header, size in bytes, and values. In order: page size; file format versions, of
# which 2 is WAL; reserved bytes; payload fractions; change counter; size in pages; freelist; schema
# cookie and format; cache size; vacuum; encoding.
FIELDS: list[tuple[int, int, list[int]]] = [
    (16, 2, [0, 1, 2, 256, 512, 1000, 1024, 2048, 8192, 32768, 65535]),
    (18, 1, [0, 1, 2, 3, 255]),
    (19, 1, [0, 1, 2, 3, 255]),
    (18, 2, [0x0202, 0x0303]),
    (20, 1, [1, 32, 255]),
    (21, 1, [0, 63, 65, 255]),
    (22, 1, [0, 33, 255]),
    (23, 1, [0, 31, 255]),
    (24, 4, [0, 1, 2**31, 2**32 - 1]),
    (28, 4, [0, 1, 2, 3, 2**31, 2**32 - 1]),
    (32, 4, [1, 2, 3, 7, 8, 2**31, 2**32 - 1]),
    (36, 4, [1, 2, 7, 2**31, 2**32 - 1]),
    (40, 4, [0, 2**31, 2**32 - 1]),
    (44, 4, [0, 1, 2, 3, 4, 5, 2**32 - 1]),
    (48, 4, [1, 2**31 - 1, 2**31, 2**32 - 1]),
    (52, 4, [1, 2, 2**32 - 1]),
    (56, 4, [0, 1, 2, 3, 4, 2**32 - 1]),
    (60, 4, [1, 2**32 - 1]),
    (64, 4, [1, 2**32 - 1]),
    (68, 4, [1, 2**32 - 1]),
    (72, 4, [1, 2**32 - 1]),
    (92, 4, [0, 2**32 - 1]),
    (96, 4, [0, 2**32 - 1]),
    # The root page of the schema: type, first free block, number of cells, start of the content,
    # fragments.
    (100, 1, [0, 2, 5, 10, 255]),
    (101, 2, [1, 108, 4094, 65535]),
    (103, 2, [0, 1, 1000, 65535]),
    (105, 2, [0, 1, 107, 65535]),
    (107, 1, [61, 255]),
]


def one_by_one(data: bytes) -> Iterator[bytes]:
    """Yields the data with one defect each: truncated at each sector, and with each value of
    `FIELDS`.
    """
    for length in range(0, len(data), SECTOR):
        yield data[:length]
    for at, size, values in FIELDS:
        for value in values:
            yield overwritten(data, at, value.to_bytes(size, "big"))


def at_random(data: bytes, choice: random.Random) -> bytes:
    """Returns the data with one, two or three random defects."""
    for _ in range(choice.choice([1, 1, 2, 3])):
        data = choice.choice(MUTATIONS)(data, choice)
    return data


def overwritten(data: bytes, at: int, by: bytes) -> bytes:
    return (data[:at] + by + data[at + len(by) :])[: len(data)]


def page_size(data: bytes) -> int:
    size = int.from_bytes(data[16:18], "big")
    return size if size >= SECTOR else 65536


def random_page(data: bytes, choice: random.Random) -> tuple[int, int]:
    """Returns the start and the end of a random page."""
    size = page_size(data)
    begin = choice.randrange(max(len(data) // size, 1)) * size
    return begin, begin + size


def changed_bytes(data: bytes, choice: random.Random) -> bytes:
    """Changes bytes in the header, the schema's text, a page's header and cell pointers, a page's
    end, or anywhere.
    """
    for _ in range(choice.choice([1, 1, 2, 3, 10])):
        begin, end = random_page(data, choice)
        somewhere = [(begin, begin + 60), (end - 400, end), (0, len(data))]
        first, last = choice.choice([(0, 100), (3000, 4096), *somewhere * 3])
        at = choice.randrange(first, last)
        data = overwritten(data, at, bytes([choice.choice([0, 1, 255, choice.randrange(256)])]))
    return data


def changed_letters(data: bytes, choice: random.Random) -> bytes:
    """Changes letters in the statements of the schema, which SQLite parses again."""
    letters = [at for at in range(100, min(page_size(data), len(data))) if chr(data[at]).isalpha()]
    for at in choice.sample(letters, min(len(letters), choice.randint(1, 3))):
        data = overwritten(data, at, choice.choice([b"x", b"'", b'"', b"(", b")", b",", b" ", b"\0", b"\xc3"]))
    return data


def changed_field(data: bytes, choice: random.Random) -> bytes:
    at, size, values = choice.choice(FIELDS)
    return overwritten(data, at, choice.choice(values).to_bytes(size, "big"))


def cut(data: bytes, choice: random.Random) -> bytes:
    return data[: choice.randrange(len(data) + 1)]


def run_of_bytes(data: bytes, choice: random.Random) -> bytes:
    byte = choice.choice([b"\0", b"\xff"])
    return overwritten(data, choice.randrange(len(data) + 1), byte * choice.randint(1, 5000))


def swapped_pages(data: bytes, choice: random.Random) -> bytes:
    first, second = random_page(data, choice), random_page(data, choice)
    copy = data[slice(*first)]
    return overwritten(overwritten(data, first[0], data[slice(*second)]), second[0], copy)


def copied_page(data: bytes, choice: random.Random) -> bytes:
    return overwritten(data, random_page(data, choice)[0], data[slice(*random_page(data, choice))])


def duplicated_page(data: bytes, choice: random.Random) -> bytes:
    """Duplicates a page, which moves all later pages by one."""
    begin, end = random_page(data, choice)
    return data[:end] + data[begin:]


def appended_bytes(data: bytes, choice: random.Random) -> bytes:
    return data + choice.randbytes(choice.choice([1, 100, SECTOR, page_size(data), 3 * page_size(data)]))


MUTATIONS = [
    *[changed_bytes] * 5,
    *[changed_letters] * 2,
    changed_field,
    cut,
    run_of_bytes,
    swapped_pages,
    copied_page,
    duplicated_page,
    appended_bytes,
]
