"""The command itself: its name, its help, how it ends, and what a pipe gets."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
import telethon

import telethon_session_rust
from support.cli import COMMAND, IS_POSIX, call, filled, on_a_terminal, renamed, run
from support.programs import command
from telethon_session_rust.cli.arguments import COMMANDS

NAMES = ["info", "list", "check", "repair", "upgrade", "export", "import", "entities", "merge", "bench"]


def test_the_version() -> None:
    answer = run("--version")
    assert answer.out.startswith(
        f"telethon-session {telethon_session_rust.__version__} (Telethon {telethon.__version__},"
    )
    assert (answer.code, answer.err) == (0, "")


@pytest.mark.parametrize("name", NAMES)
def test_each_command_has_help_with_an_example(name: str) -> None:
    answer = call(name, "--help")
    assert answer.code == 0
    assert answer.out.startswith(f"usage: telethon-session {name}")
    assert f"example:\n  telethon-session {name} " in answer.out


def test_the_help_names_every_command() -> None:
    words = call("--help").out.split()
    assert len(NAMES) == len(COMMANDS)
    assert set(NAMES) <= set(words)


@pytest.mark.parametrize(
    "arguments", [[], ["dance"], ["info"], ["info", "a", "b"], ["entities", "a", "--id", "x"]], ids=str
)
def test_wrong_usage(arguments: list[str]) -> None:
    answer = call(*arguments)
    assert answer.code == 2
    assert "usage: telethon-session" in answer.err


def test_without_arguments_it_prints_its_help() -> None:
    answer = call()
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == call("--help").out


@pytest.mark.parametrize("name", [None, *NAMES])
def test_the_help_fits_a_line_and_is_in_plain_english(name: str | None) -> None:
    text = call(*([name] if name else []), "--help").out
    assert max(map(len, text.splitlines())) <= 100
    words = text.lower().replace("\n", " ")
    for odd in ("whoever", "who ", "nobody", "in capitals or not", "the same", "is none", "so many", "are asked"):
        assert odd not in words


def test_the_help_names_every_exit_code() -> None:
    text = call("--help").out
    told = text.partition("exit codes:\n")[2].splitlines()
    assert [line.split()[0] for line in told if line.strip()] == ["0", "1", "2", "130", "141"]


def commands_on(name: str) -> list[list[str]]:
    return [[command, name] for command in NAMES if command not in ("import", "merge")] + [
        ["merge", name, "--into", "c"]
    ]


@pytest.mark.parametrize("arguments", commands_on("nobody"), ids=lambda arguments: arguments[0])
def test_a_file_that_is_not_there(arguments: list[str]) -> None:
    assert "no" in call(*arguments).error
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"not a session\n" * 100, bytes(8192)], ids=["empty", "text", "zeros"])
@pytest.mark.parametrize("arguments", commands_on("odd"), ids=lambda arguments: arguments[0])
def test_a_file_that_is_none(arguments: list[str], content: bytes) -> None:
    path = Path("odd.session")
    path.write_bytes(content)
    answer = call(*(arguments if arguments[0] != "list" else ["list"]))
    if arguments[0] == "list":
        assert (answer.code, "no session file" in answer.out or "empty" in answer.out) == (0, True)
    else:
        assert "odd.session" in answer.error
    assert path.read_bytes() == content
    assert list(Path().iterdir()) == [path]


def test_a_folder_in_the_place_of_a_file() -> None:
    Path("a.session").mkdir()
    assert "folder" in call("info", "a").error


@pytest.mark.parametrize("name", ["anna", "anna.session", "./anna", "ä ?#%41&.session", "broken.session.broken"])
def test_names_of_files(name: str) -> None:
    filled().rename(name if "session" in name else "anna.session")
    assert call("info", name, "--json").json["entities"] == 101


def test_the_package_alone_loads_neither_rich_nor_argparse() -> None:
    loaded = subprocess.run(command("loaded_modules"), capture_output=True, text=True, check=True).stdout
    assert "telethon_session_rust.memory" in loaded
    assert not [name for name in ("rich", "argparse", "telethon_session_rust.cli") if f"'{name}'" in loaded]


def test_a_pipe_gets_all_of_a_table_and_no_colour() -> None:
    """Whatever the terminal would be."""
    long = "anna_" * 40
    filled().rename(f"{long}.session")
    answer = run("list", env={**os.environ, "FORCE_COLOR": "1", "COLUMNS": "40", "TERM": "xterm-256color"})
    assert (answer.code, answer.err) == (0, "")
    head, line = answer.out.splitlines()
    assert line.startswith(f"{long}  ") and head.split()[:3] == ["name", "version", "dc"]
    assert "\x1b" not in answer.out


def test_text_of_a_file_is_nothing_but_text_to_a_terminal() -> None:
    """Anybody can call themselves an escape sequence."""
    renamed(filled(), 1, "\x1b[31m\x9b2J\u202e\n\t[bold]Анна[/bold]")
    answer = call("entities", "anna", "--id", 1)
    assert "[bold]Анна[/bold]" in answer.out
    assert not any(letter in answer.out for letter in "\x1b\x9b\u202e\t")
    assert len(answer.out.splitlines()) == 2


@pytest.mark.skipif(not IS_POSIX, reason="Windows has no pseudo terminals")
def test_a_terminal_gets_as_much_as_can_be_read() -> None:
    """And how far it is, before the table."""
    filled(count=1500)
    shown = on_a_terminal("entities", "anna")
    progress, _, table = shown.partition("last seen")
    assert "reading" in progress and "\x1b[1m" in progress
    # Of a narrow terminal a row may take several lines.
    kinds = ("account", "user", "group", "channel")
    assert sum(map(table.count, kinds)) >= 1000
    assert "There are more than these 1,000; --limit 0 lists all." in " ".join(table.split())
    assert "There are more" not in on_a_terminal("entities", "anna", "--limit", "0")


def test_an_alphabet_that_the_terminal_does_not_have() -> None:
    filled()
    answer = run("entities", "anna", "--id", 1, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert answer.code == 0
    assert r"\u0410\u043d\u043d\u0430 1" in answer.out


@pytest.mark.skipif(not IS_POSIX, reason="Windows has other pipes")
def test_a_broken_pipe_is_no_error() -> None:
    filled(count=20_000)
    with subprocess.Popen([*COMMAND, "entities", "anna"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout.readline()
        program.stdout.close()
        assert program.stderr.read() == b""
    assert program.returncode == 128 + signal.SIGPIPE


@pytest.mark.skipif(not IS_POSIX, reason="Windows sends Ctrl-C to all programs of a console")
def test_ctrl_c() -> None:
    """While it waits for a string; nothing is left of the file."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command("import_a_string"), **pipes) as program:
        assert program.stdout.readline() == b"reading\n"
        program.send_signal(signal.SIGINT)
        assert program.stderr.read() == b""
    assert program.returncode == 130
    assert list(Path().iterdir()) == []
