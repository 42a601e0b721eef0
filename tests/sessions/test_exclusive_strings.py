"""`RustStringSession(string, exclusive=True)`: one owner of a key, by a lock that ends with its
process.
"""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from telethon.sessions import StringSession

from support.contents import KEY, OTHER_KEY
from support.key_traces import traces
from support.programs import command
from support.waiting import until
from telethon_session_rust import (
    RustSQLiteSession,
    RustStringSession,
    SessionInUseError,
    SessionUnavailableError,
)
from telethon_session_rust.errors import SessionFileInUseError

pytestmark = pytest.mark.any_release


@pytest.fixture(autouse=True)
def runtime(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    runtime = tmp_path_factory.mktemp("runtime")
    temporary = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setenv("TMPDIR", str(temporary))
    return runtime


def string(key: Any = KEY) -> str:
    session = StringSession()
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key = key
    return str(session.save())


@contextmanager
def another_owner(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    program = command("open_string_exclusively", *arguments)
    with subprocess.Popen(program, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        print(string(), file=process.stdin, flush=True)
        assert process.stdout.readline() == "open\n"
        try:
            yield process
        finally:
            if process.poll() is None:
                process.communicate()


def is_free(key: Any = KEY) -> bool:
    try:
        RustStringSession(string(key), exclusive=True).close()
    except SessionInUseError:
        return False
    return True


def test_the_error_names_the_owner() -> None:
    with another_owner() as owner:
        with pytest.raises(SessionInUseError, match=f"login is in use by process {owner.pid}") as caught:
            RustStringSession(string(), exclusive=True)
        assert caught.value.pid == owner.pid and caught.value.place == ""
        # Sessions that do not ask for it, and other keys, are not excluded.
        RustStringSession(string()).close()
        assert is_free(OTHER_KEY)
    assert is_free()


@pytest.mark.parametrize("end", ["kill", "os._exit", "fork"])
def test_the_lock_ends_with_its_process(end: str) -> None:
    with another_owner(end) as owner:
        assert not is_free()
        if end == "kill":
            owner.kill()
        else:
            owner.stdin.write("end\n")
            owner.stdin.flush()
        owner.wait()
        # A child that the owner has forked still runs. It lets go of the lock as it begins.
        until(is_free)


def test_two_in_one_process() -> None:
    owner = RustStringSession(string(), exclusive=True)
    assert not is_free()
    owner.close()
    other = RustStringSession(string(), exclusive=True)
    # A client sets the key when it connects.
    with pytest.raises(SessionInUseError):
        owner.auth_key = KEY
    del other
    owner.auth_key = KEY
    assert not is_free()
    del owner
    assert is_free()


def test_a_new_key_is_locked_when_it_is_set() -> None:
    session = RustStringSession(exclusive=True)
    session.auth_key = OTHER_KEY
    assert not is_free(OTHER_KEY)
    session.auth_key = KEY
    assert is_free(OTHER_KEY) and not is_free()
    for copied in (copy.copy(session), pickle.loads(pickle.dumps(session)), session.clone()):
        copied.close()
    assert not is_free()
    session.auth_key = None
    assert is_free()


def test_a_file_with_the_same_key() -> None:
    def open_file(name: str = "anna") -> RustSQLiteSession:
        return RustSQLiteSession(name, exclusive=True)

    session = open_file()
    session.auth_key = KEY
    session.save()
    asyncio.run(session.backup("copy"))
    assert not is_free()
    # A copy has the key too.
    with pytest.raises(SessionFileInUseError, match=r"copy\.session: this login is in use by process") as caught:
        open_file("copy")
    assert caught.value.pid == os.getpid()
    session.close()
    with another_owner():
        for name in ("anna", "copy"):
            with pytest.raises(SessionInUseError):
                open_file(name)
        RustSQLiteSession("anna").close()
    for name in ("anna", "copy"):
        open_file(name).close()


def test_programs_with_other_environments(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service has no runtime folder, and a program may have another folder for temporary files."""
    with another_owner():
        monkeypatch.delenv("XDG_RUNTIME_DIR")
        assert not is_free()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
        monkeypatch.setenv("TMPDIR", str(runtime.parent))
        assert not is_free()


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX file modes")
def test_a_folder_of_others_is_not_used(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    folder = Path(os.environ["TMPDIR"], f"telethon-session-rust-{os.getuid()}")
    folder.mkdir(mode=0o700)
    folder.chmod(0o777)
    with pytest.raises(SessionUnavailableError, match="open to other users"):
        RustStringSession(string(), exclusive=True)
    folder.rmdir()
    folder.symlink_to(runtime)
    with pytest.raises(SessionUnavailableError, match="is not a folder"):
        RustStringSession(string(), exclusive=True)
    if os.getuid() == 0:
        folder.unlink()
        folder.mkdir(mode=0o700)
        os.chown(folder, 65534, 65534)
        with pytest.raises(SessionUnavailableError, match="another user"):
            RustStringSession(string(), exclusive=True)
    # A file is locked in any case.
    session = RustSQLiteSession("anna", exclusive=True)
    session.auth_key = KEY
    session.close()


def test_the_lock_reveals_no_key(runtime: Path) -> None:
    session = RustStringSession(string(), exclusive=True)
    files = [path for folder in (runtime, Path(os.environ["TMPDIR"])) for path in folder.rglob("*")]
    assert len([path for path in files if path.is_file()]) >= (2 if os.name == "posix" else 1)
    for path in files:
        if os.name == "posix":
            assert path.stat().st_mode & 0o077 == 0
        contents = path.read_bytes() if path.is_file() and sys.platform != "win32" else b""
        assert not any(piece in f"{path} {contents!r}" for piece in traces(KEY.key))
    session.close()
