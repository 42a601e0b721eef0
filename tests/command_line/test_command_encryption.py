"""Encryption keys on the command line: every command reads and writes encrypted logins."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from pathlib import Path

import pytest
from telethon.crypto import AuthKey

from support.cli import Result, call, changed, filled, rows_of, unchanged
from support.contents import KEY, OTHER_KEY
from support.encryption import ENCRYPTION_KEY, OTHER_ENCRYPTION_KEY, is_in_files
from support.key_traces import traces
from support.servers import new_name
from telethon_session_rust import RustSQLiteSession, open_session

TABLES = ("entities", "update_state", "sent_files", "sessions")
KEYS = {"one.key": ENCRYPTION_KEY, "other.key": OTHER_ENCRYPTION_KEY}
ENCRYPTED = "--encryption-key-file"
TARGET = "--target-encryption-key-file"


@pytest.fixture(autouse=True)
def key_files(folder: Path) -> None:
    for name, key in KEYS.items():
        Path(name).write_text(f"{key.hex()}\n")


def shown(result: Result) -> Result:
    """Asserts that no key is in an output."""
    output = result.out + result.err
    assert not [key for key in KEYS.values() if key.hex() in output or b64encode(key).decode() in output]
    assert not [trace for trace in traces(KEY.key) if trace in output]
    return result


def encrypted(path: str = "anna", encryption_key: bytes = ENCRYPTION_KEY) -> Path:
    """Returns a file with everything that a file can hold, and an encrypted login."""
    filled(f"{path}.session")
    session = RustSQLiteSession(path, encryption_key=encryption_key)
    session.save()
    session.close()
    assert rows_of(f"{path}.session", "sessions")[0][3] != KEY.key
    return Path(f"{path}.session")


def key_of(location: str, encryption_key: bytes | None) -> AuthKey:
    session = open_session(location, encryption_key=encryption_key)
    key: AuthKey = session.auth_key
    session.close()
    return key


def test_a_login_is_read_with_its_key() -> None:
    path = encrypted()
    filled("plain.session")
    with unchanged(path):
        for command in ("info", "check", "entities"):
            assert shown(call(command, path)).code == shown(call(command, path, ENCRYPTED, "one.key")).code == 0
        assert call("info", path, "--json").json["encrypted"] and ", encrypted" in call("info", path).out
        assert "give the key with --encryption-key-file" in call("check", path).out
        assert "encrypted" not in call("check", path, ENCRYPTED, "one.key").out
        assert "--encryption-key-file" in shown(call("export", path)).error
        assert "another key" in shown(call("export", path, ENCRYPTED, "other.key")).error
        assert "another key" in shown(call("check", path, ENCRYPTED, "other.key")).out
        assert call("export", path, ENCRYPTED, "one.key").out == call("export", "plain").out
    assert call("export", "plain", ENCRYPTED, "one.key").out == call("export", "plain").out


@pytest.mark.parametrize(
    "text",
    [
        ENCRYPTION_KEY,
        ENCRYPTION_KEY.hex().upper().encode(),
        b64encode(ENCRYPTION_KEY),
        urlsafe_b64encode(ENCRYPTION_KEY).rstrip(b"=") + b"\r\n",
        f"{OTHER_ENCRYPTION_KEY.hex()}\n{ENCRYPTION_KEY.hex()}\n".encode(),
    ],
    ids=["bytes", "hexadecimal", "base64", "URL-safe base64", "several"],
)
def test_forms_of_a_key(text: bytes) -> None:
    path = encrypted()
    Path("key").write_bytes(text)
    assert call("export", path, ENCRYPTED, "key").code == 0


@pytest.mark.parametrize("text", [b"", b"\n", ENCRYPTION_KEY[:31], ENCRYPTION_KEY.hex()[:-1].encode(), b"\xff" * 44])
def test_what_is_not_a_key(text: bytes) -> None:
    path = encrypted()
    Path("key").write_bytes(text)
    error = call("export", path, ENCRYPTED, "key").error
    assert "32 bytes" in error and not (text.strip() and text.decode(errors="replace").strip() in error)
    assert "missing" in call("export", path, ENCRYPTED, "missing").error


def test_a_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    path = encrypted()
    monkeypatch.setenv("TELETHON_SESSION_ENCRYPTION_KEY", ENCRYPTION_KEY.hex())
    string = shown(call("export", path))
    assert string.code == 0
    assert call("import", "bob", stdin=string.out).code == 0
    assert key_of("bob", ENCRYPTION_KEY) == KEY and not is_in_files(KEY.key, Path())
    assert "another key" in call("export", path, ENCRYPTED, "other.key").error


def test_copying_between_keys(database: str) -> None:
    """Each place has the key of its own, and what comes back is what there was."""
    plain = filled("plain.session")
    first, second = (f"{database}#{new_name()}" for _ in range(2))
    copies = [
        ("plain", first, [TARGET, "one.key"]),
        (first, second, [ENCRYPTED, "one.key", TARGET, "other.key"]),
        (second, "bob", [ENCRYPTED, "other.key"]),
        ("bob", "back", [ENCRYPTED, "other.key", "--target-unencrypted"]),
    ]
    for source, target, options in copies:
        result = shown(call("copy", source, target, *options))
        assert result.code == 0 and "left out" not in result.out
    assert [set(rows_of("back.session", table)) for table in TABLES] == [set(rows_of(plain, table)) for table in TABLES]
    for place, name in ((first, "one.key"), (second, "other.key"), ("bob", "other.key")):
        assert key_of(place, KEYS[name]) == KEY
        assert call("export", place, ENCRYPTED, name).out == call("export", "plain").out
        other = next(other for other in KEYS if other != name)
        for options in ([], [ENCRYPTED, other]):
            assert "--encryption-key-file" in shown(call("export", place, *options)).error
    assert call("copy", first, "-", ENCRYPTED, "one.key").out == call("export", "plain").out


def test_another_login_in_an_encrypted_file_stays() -> None:
    path = encrypted("bob")
    filled()
    with unchanged(path):
        # Without its key the login cannot be compared.
        assert "another login" in call("copy", "anna", "bob").error
        assert "another login" in call("copy", "anna", "bob", TARGET, "other.key").error
        assert "already has a login" in call("import", "bob", stdin=call("export", "anna").out).error
    assert call("copy", "anna", "bob", TARGET, "one.key").code == 0
    assert key_of("bob", ENCRYPTION_KEY) == KEY


def test_merging_into_an_encrypted_session(location: str) -> None:
    filled()
    for into in ("bob", location):
        call("copy", "anna", into, TARGET, "one.key")
        filled("more.session", 150)
        assert "--encryption-key-file" in shown(call("merge", "more", "--into", into)).error
        result = shown(call("merge", "more", "--into", into, TARGET, "one.key"))
        assert "151, 50 of them new" in result.out
        assert key_of(into, ENCRYPTION_KEY) == KEY


def test_repair_and_upgrade_keep_an_encrypted_login() -> None:
    path = encrypted()
    before = rows_of(path, "sessions")
    assert call("repair", path, "--into", "new").code == 0
    assert rows_of("new.session", "sessions") == before
    changed(path, "update entities set date = 'x' where id = 1")
    assert "dropped" in shown(call("repair", path)).out
    assert rows_of(path, "sessions") == before and key_of("anna", ENCRYPTION_KEY) == KEY
    changed(path, "update version set version = 7")
    upgraded = shown(call("upgrade", path))
    # Telethon's older releases write this version themselves.
    assert upgraded.code == 0 or "--encryption-key-file" in upgraded.error
    assert shown(call("upgrade", path, ENCRYPTED, "one.key")).code == 0
    assert key_of("anna", ENCRYPTION_KEY) == KEY


def test_the_key_of_another_login_is_not_replaced() -> None:
    path = encrypted()
    session = RustSQLiteSession("bob", encryption_key=ENCRYPTION_KEY)
    session.set_dc(2, "149.154.167.51", 443)
    session.auth_key = OTHER_KEY
    session.save()
    session.close()
    assert "another login" in call("copy", path, "bob", ENCRYPTED, "one.key").error
    assert call("copy", path, "bob", ENCRYPTED, "one.key", "--force").code == 0
    assert key_of("bob", ENCRYPTION_KEY) == KEY
