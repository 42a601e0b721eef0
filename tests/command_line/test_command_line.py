"""The program itself: version, help, exit codes, file names, and output to pipes and terminals."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
import telethon

import telethon_session_rust
from support.cli import IS_POSIX, PROGRAM, call, filled, rename_entity, run, run_on_terminal
from support.programs import command
from telethon_session_rust.cli.parser import COMMANDS

NAMES = ["info", "list", "check", "repair", "upgrade", "export"]
NAMES += ["import", "copy", "backup", "entities", "merge", "bench"]


def test_the_version() -> None:
    result = run("--version")
    assert result.out.startswith(
        f"telethon-session {telethon_session_rust.__version__} (Telethon {telethon.__version__},"
    )
    assert (result.code, result.err) == (0, "")


@pytest.mark.parametrize("name", NAMES)
def test_each_command_has_help_with_an_example(name: str) -> None:
    result = call(name, "--help")
    assert result.code == 0
    assert result.out.startswith(f"usage: telethon-session {name}")
    assert f"example:\n  telethon-session {name} " in result.out


def test_the_help_names_every_command() -> None:
    words = call("--help").out.split()
    assert len(NAMES) == len(COMMANDS)
    assert set(NAMES) <= set(words)


@pytest.mark.parametrize(
    "arguments", [[], ["dance"], ["info"], ["info", "a", "b"], ["entities", "a", "--id", "x"]], ids=str
)
def test_wrong_usage(arguments: list[str]) -> None:
    result = call(*arguments)
    assert result.code == 2
    assert "usage: telethon-session" in result.err


def test_without_arguments_it_prints_its_help() -> None:
    result = call()
    assert (result.code, result.out) == (2, "")
    assert result.err == call("--help").out


@pytest.mark.parametrize("name", [None, *NAMES])
def test_the_help_has_short_lines_and_plain_english(name: str | None) -> None:
    text = call(*([name] if name else []), "--help").out
    assert max(map(len, text.splitlines())) <= 100
    words = text.lower().replace("\n", " ")
    for unclear in ("whoever", "who ", "nobody", "in capitals or not", "the same", "is none", "so many", "are asked"):
        assert unclear not in words


def test_the_help_names_every_exit_code() -> None:
    text = call("--help").out
    lines = text.partition("exit codes:\n")[2].splitlines()
    assert [line.split()[0] for line in lines if line.strip()] == ["0", "1", "2", "130", "141"]


def command_lines(name: str) -> list[list[str]]:
    of_one = [[command, name] for command in NAMES if command not in ("import", "merge", "copy", "backup")]
    return [*of_one, ["merge", name, "--into", "c"], ["copy", name, "c"], ["backup", name, "c"]]


@pytest.mark.parametrize("arguments", command_lines("missing"), ids=lambda arguments: arguments[0])
def test_a_missing_file(arguments: list[str]) -> None:
    assert "no" in call(*arguments).error
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"not a session\n" * 100, bytes(8192)], ids=["empty", "text", "zeros"])
@pytest.mark.parametrize("arguments", command_lines("invalid"), ids=lambda arguments: arguments[0])
def test_a_file_that_is_not_a_session(arguments: list[str], content: bytes) -> None:
    path = Path("invalid.session")
    path.write_bytes(content)
    result = call(*(arguments if arguments[0] != "list" else ["list"]))
    if arguments[0] == "list":
        assert (result.code, "not a session file" in result.out or "empty" in result.out) == (0, True)
    else:
        assert "invalid.session" in result.error
    assert path.read_bytes() == content
    assert list(Path().iterdir()) == [path]


def test_a_folder_instead_of_a_file() -> None:
    Path("a.session").mkdir()
    assert "folder" in call("info", "a").error


@pytest.mark.parametrize("name", ["anna", "anna.session", "./anna", "ä ?#%41&.session", "broken.session.broken"])
def test_file_names(name: str) -> None:
    filled().rename(name if "session" in name else "anna.session")
    assert call("info", name, "--json").json["entities"] == 101


def test_importing_the_package_loads_neither_rich_nor_argparse() -> None:
    loaded = subprocess.run(command("loaded_modules"), capture_output=True, text=True, check=True).stdout
    assert "telethon_session_rust.memory" in loaded
    assert not [name for name in ("rich", "argparse", "telethon_session_rust.cli") if f"'{name}'" in loaded]


def test_a_pipe_receives_full_cells_and_no_colour() -> None:
    """Variables that describe a terminal have no effect."""
    long = "anna_" * 40
    filled().rename(f"{long}.session")
    result = run("list", env={**os.environ, "FORCE_COLOR": "1", "COLUMNS": "40", "TERM": "xterm-256color"})
    assert (result.code, result.err) == (0, "")
    head, line = result.out.splitlines()
    assert line.startswith(f"{long}  ") and head.split()[:3] == ["name", "version", "dc"]
    assert "\x1b" not in result.out


def test_text_of_a_file_cannot_control_the_terminal() -> None:
    """A name may contain escape sequences."""
    rename_entity(filled(), 1, "\x1b[31m\x9b2J\u202e\n\t[bold]Анна[/bold]")
    result = call("entities", "anna", "--id", 1)
    assert "[bold]Анна[/bold]" in result.out
    assert not any(char in result.out for char in "\x1b\x9b\u202e\t")
    assert len(result.out.splitlines()) == 2


@pytest.mark.skipif(not IS_POSIX, reason="Windows has no pseudo terminals")
def test_a_terminal_shows_progress_and_a_limited_table() -> None:
    filled(count=1500)
    shown = run_on_terminal("entities", "anna")
    progress, _, table = shown.partition("last seen")
    assert "reading" in progress and "\x1b[1m" in progress
    # On a narrow terminal a row may take several lines.
    kinds = ("account", "user", "chat", "channel")
    assert sum(map(table.count, kinds)) >= 1000
    assert "only the first 1,000 entities are listed; --limit 0 lists all" in " ".join(table.split())
    assert "only the first" not in run_on_terminal("entities", "anna", "--limit", "0")


def test_characters_that_the_encoding_of_the_terminal_lacks() -> None:
    filled()
    result = run("entities", "anna", "--id", 1, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert result.code == 0
    assert r"\u0410\u043d\u043d\u0430 1" in result.out


@pytest.mark.skipif(not IS_POSIX, reason="Windows has no SIGPIPE")
def test_a_broken_pipe_is_not_an_error() -> None:
    filled(count=20_000)
    with subprocess.Popen([*PROGRAM, "entities", "anna"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout.readline()
        program.stdout.close()
        assert program.stderr.read() == b""
    assert program.returncode == 128 + signal.SIGPIPE


@pytest.mark.skipif(not IS_POSIX, reason="Windows sends Ctrl-C to all processes of a console")
def test_ctrl_c() -> None:
    """While `import` waits for a string. It leaves no file."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command("import_string"), **pipes) as program:
        assert program.stdout.readline() == b"reading\n"
        program.send_signal(signal.SIGINT)
        assert program.stderr.read() == b""
    assert program.returncode == 130
    assert list(Path().iterdir()) == []
