"""`telethon-session` with and without rich, which is an extra: only what a terminal shows may
differ.
"""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.filesize import decimal

from support.cli import IS_POSIX, PROGRAM_WITHOUT_RICH, filled, rename_entity, run, run_on_terminal, unchanged
from support.real_files import FILES, version_of
from telethon_session_rust.cli.output import format_size
from telethon_session_rust.cli.width import cell_width

READ_COMMANDS = [
    ["info", "anna"],
    ["list"],
    ["check", "old"],
    ["entities", "anna"],
    ["entities", "anna", "--hashes", "--limit", "3"],
    ["entities", "anna", "--json"],
    ["export", "anna"],
]
WRITE_COMMANDS = [["repair", "anna", "--into", "new"], ["merge", "anna", "--into", "new"], ["upgrade", "old"]]

NAMES = ["Anna", "李小龍", "e\u0301tienne", "नमस्ते", "👩\u200d💻", "❤\ufe0f", "ﾊﾝｶｸ", "한국어"]
# Letters, marks, digits and punctuation of Unicode 3.2, which all versions of Python and of rich
# know. The exceptions are two fillers, which are invisible, and the character that turns the one
# before into an emoji.
characters = st.characters(
    categories=("L", "M", "N", "P", "Zs"), max_codepoint=0x1_FFFF, exclude_characters="\u3164\uffa0\ufe0f"
).filter(lambda char: unicodedata.ucd_3_2_0.category(char) != "Cn")
scripts = st.sampled_from(
    [
        *(chr(code) for code in (*range(0x20, 0x7F), *range(0x0300, 0x0370), *range(0x0400, 0x0460))),
        *"中文字漢語かなカナ한국어ｱｲｳＡＢＣ、。「」",
    ]
)


@pytest.fixture
def old() -> Path:
    """A file that `check` has notes about, and that `upgrade` removes entities from."""
    real = next(real for real in FILES if version_of(real) == 5)
    return Path(shutil.copyfile(real, "old.session"))


@pytest.mark.parametrize("arguments", READ_COMMANDS, ids=" ".join)
def test_a_pipe_receives_the_output_of_an_installation_with_rich(arguments: list[str], old: Path) -> None:
    path = filled()
    for id, name in zip((1, 2, 3, 4, 6, 8, 9, 11), NAMES, strict=True):
        rename_entity(path, id, name)
    with unchanged(path, old):
        plain = run(*arguments, program=PROGRAM_WITHOUT_RICH)
        assert plain == run(*arguments)
    assert plain.code == 0 and plain.out


@pytest.mark.parametrize("arguments", WRITE_COMMANDS, ids=" ".join)
def test_commands_that_write_need_no_rich(arguments: list[str], old: Path) -> None:
    filled()
    result = run(*arguments, program=PROGRAM_WITHOUT_RICH)
    assert result.code == 0 and result.out


def test_bench_needs_no_rich() -> None:
    filled()
    result = run("bench", "anna", "--seconds", 0.1, program=PROGRAM_WITHOUT_RICH)
    head, *lines = result.out.splitlines()
    assert result.code == 0 and len(lines) == 8
    # Columns begin where their headings do.
    for heading in head.split():
        assert all(line[head.index(heading) - 1] == " " != line[head.index(heading)] for line in lines)


def test_columns_are_aligned_by_the_width_of_their_characters() -> None:
    path = filled()
    ids = (1, 2, 3, 4, 6, 8, 9, 11)
    for id, name in zip(ids, NAMES, strict=True):
        rename_entity(path, id, name)
    head, *lines = run("entities", "anna", program=PROGRAM_WITHOUT_RICH).out.splitlines()
    shown = {line.split()[0]: line for line in lines}
    start = head.index("last seen")
    for id, name in zip(ids, NAMES, strict=True):
        before, _, date = shown[str(id)].rpartition("  ")
        assert name in before and date[:2] in ("19", "20")
        assert cell_len(before) + 2 == start


@pytest.mark.skipif(not IS_POSIX, reason="Windows has no pseudo terminals")
def test_a_terminal_shows_a_plain_table() -> None:
    filled(count=1500)
    shown = run_on_terminal("entities", "anna", program=PROGRAM_WITHOUT_RICH)
    head, *lines = shown.splitlines()
    assert "\x1b" not in shown
    assert head.split() == ["id", "kind", "username", "phone", "name", "last", "seen"]
    assert len(lines) == 1001
    assert lines[-1] == "only the first 1,000 entities are listed; --limit 0 lists all"


@given(st.text(characters) | st.text(scripts))
def test_the_width_of_text_is_that_of_rich(text: str) -> None:
    assert cell_width(text) == cell_len(text)


@pytest.mark.parametrize("text", [*NAMES, "", "👍🏽", "👨\u200d👩\u200d👧", "☎\ufe0f 1", "\u200dx", "x\u200d"])
def test_the_width_of_emoji_is_that_of_rich(text: str) -> None:
    assert cell_width(text) == cell_len(text)


@given(st.integers(0, 10**18))
def test_sizes_are_formatted_as_by_rich(size: int) -> None:
    assert format_size(size) == decimal(size)
