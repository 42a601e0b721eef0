"""Session strings are compatible with Telethon's in both directions; invalid strings are refused."""

from __future__ import annotations

import base64
import ipaddress
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telethon.crypto import AuthKey
from telethon.sessions import MemorySession, SQLiteSession, StringSession

from telethon_session_rust import RustMemorySession, RustSQLiteSession, RustStringSession

SESSIONS = [MemorySession, SQLiteSession, StringSession, RustMemorySession, RustSQLiteSession, RustStringSession]
MANY = settings(max_examples=20 * settings().max_examples)

addresses = st.one_of(
    st.ip_addresses(v=4),
    st.ip_addresses(v=6),
    # The notation depends on the longest run of zeros and on an embedded IPv4 address.
    st.sampled_from(["::", "::1", "1::", "0:0:1::", "1:0:0:2:0:0:0:3", "::ffff:1.2.3.4", "64:ff9b::1.2.3.4"]).map(
        ipaddress.ip_address
    ),
)
auth_keys = st.binary(min_size=256, max_size=256).filter(any)
logins = st.tuples(st.integers(0, 255), addresses, st.integers(0, 65535), auth_keys)


def logged_in(session: Any, login: tuple[Any, ...]) -> Any:
    dc_id, address, port, key = login
    session.set_dc(dc_id, str(address), port)
    session.auth_key = AuthKey(key)
    return session


def login_of(session: Any) -> tuple[Any, ...]:
    return session.dc_id, session.server_address, session.port, session.auth_key and session.auth_key.key


def packed(dc_id: int, address: bytes, port: int, key: bytes) -> bytes:
    return struct.pack(">B", dc_id) + address + struct.pack(">H", port) + key


def text_of(data: bytes) -> str:
    return "1" + base64.urlsafe_b64encode(data).decode()


LOGIN = (2, ipaddress.ip_address("149.154.167.51"), 443, bytes(range(256)))
GOOD = text_of(packed(2, LOGIN[1].packed, 443, LOGIN[3]))


@MANY
@given(logins)
def test_round_trip_matches_telethon(login: tuple[Any, ...]) -> None:
    strings = {
        save(logged_in(session(), login))
        for session in (StringSession, RustStringSession)
        for save in (StringSession.save, RustStringSession.save, lambda session: session.save())
    }
    (string,) = strings
    theirs, ours = StringSession(string), RustStringSession(string)
    assert login_of(ours) == login_of(theirs)
    assert ours.server_address == login[1].compressed
    assert ours.auth_key.key_id == theirs.auth_key.key_id
    assert RustStringSession(ours.save()).save() == string


@pytest.mark.parametrize("session", SESSIONS)
@pytest.mark.parametrize("save", [StringSession.save, RustStringSession.save])
@given(logins)
def test_any_session_can_be_saved_as_a_string(session: Any, save: Any, login: tuple[Any, ...]) -> None:
    string = save(logged_in(session(), login))
    assert login_of(RustStringSession(string)) == login_of(StringSession(string)) == (*login[:1], *login_of_text(login))


def login_of_text(login: tuple[Any, ...]) -> tuple[Any, ...]:
    return login[1].compressed, login[2], login[3]


@pytest.mark.parametrize("session", SESSIONS)
@pytest.mark.parametrize("save", [StringSession.save, RustStringSession.save])
@pytest.mark.parametrize("key", [None, AuthKey(None), AuthKey(b"")])
def test_without_a_key_the_string_is_empty(session: Any, save: Any, key: AuthKey | None) -> None:
    session = session()
    session.auth_key = key
    assert save(session) == ""


@pytest.mark.parametrize("string", [None, ""])
def test_no_string_is_a_new_session(string: str | None) -> None:
    assert login_of(RustStringSession(string)) == login_of(StringSession(string)) == (0, None, None, None)


def test_a_key_of_zeros_is_read_as_none() -> None:
    string = text_of(packed(2, LOGIN[1].packed, 443, bytes(256)))
    assert login_of(RustStringSession(string)) == login_of(StringSession(string))
    assert RustStringSession(string).auth_key is None


def assert_both_refuse(string: str) -> None:
    for session in (StringSession, RustStringSession):
        with pytest.raises((ValueError, struct.error)):
            session(string)
    with pytest.raises(ValueError, match="Not a valid string"):
        RustStringSession(string)


@pytest.mark.parametrize("length", [*range(1, len(GOOD)), len(GOOD) + 4])
def test_truncated_or_extended(length: int) -> None:
    assert_both_refuse((GOOD + "AAAA")[:length])


@pytest.mark.parametrize("version", ["0", "2", "A", " ", "\n", "\u00b9", "\uff11"])
def test_another_version(version: str) -> None:
    assert_both_refuse(version + GOOD[1:])


@pytest.mark.parametrize("letter", [" ", "\n", "'", "=", "%", "é", "\u0410", "\0", "\\"])
@pytest.mark.parametrize("place", [1, 100, 351])
def test_an_invalid_character(letter: str, place: int) -> None:
    """Telethon's decoder skips characters that are not base64, which would yield another key."""
    string = GOOD[:place] + letter + GOOD[place + 1 :]
    with pytest.raises(ValueError, match="Not a valid string"):
        RustStringSession(string)


# The key contains every letter of base64, including those in which the two alphabets differ.
V6 = text_of(packed(2, ipaddress.ip_address("2001:67c:4e8:f002::a").packed, 443, bytes(range(256))))


def standard(string: str) -> str:
    assert {"-", "_"} <= {*string}
    return string.replace("-", "+").replace("_", "/")


@pytest.mark.parametrize("string", [GOOD, V6], ids=["IPv4", "IPv6"])
def test_the_standard_alphabet(string: str) -> None:
    theirs, ours = StringSession(standard(string)), RustStringSession(standard(string))
    assert login_of(ours) == login_of(theirs)
    assert ours.save() == string


def wrapped(string: str, before: str = "", after: str = "") -> str:
    lines = [string[at : at + 76] for at in range(0, len(string), 76)]
    return "".join(f"{before}{line}{after}" for line in lines)


PASTED = {
    "white space": lambda string: f" \t{string}\r\n",
    "quotes": lambda string: f"'{string}'",
    "double quotes": lambda string: f'"{string}"',
    "backticks": lambda string: f"```\n{string}\n```",
    "typographic quotes": lambda string: f"\u201c{string}\u201d",
    "low quotes": lambda string: f"\u201e{string}\u201c",
    "French quotes": lambda string: f"\xab\xa0{string}\xa0\xbb",
    "single typographic quotes": lambda string: f"\u2018{string}\u2019",
    "line breaks": lambda string: wrapped(string, after="\n"),
    "Windows line breaks": lambda string: wrapped(string, after="\r\n"),
    "Python source": lambda string: wrapped(string, "    '", "'\n"),
    "paragraph separators": lambda string: wrapped(string, after="\u2028"),
    "a byte order mark": lambda string: f"\ufeff{string}",
    "zero-width spaces": lambda string: "\u200b".join(string),
    "directional marks": lambda string: f"\u202a{string}\u202c",
}


@pytest.mark.parametrize("paste", PASTED.values(), ids=PASTED)
@pytest.mark.parametrize("string", [GOOD, V6, standard(GOOD)], ids=["IPv4", "IPv6", "standard"])
def test_a_pasted_string(paste: Callable[[str], str], string: str) -> None:
    session = RustStringSession(paste(string))
    assert login_of(session) == login_of(StringSession(string))
    assert session.save() == StringSession(string).save()


@given(logins, st.data())
def test_every_string_that_telethon_accepts_is_accepted(login: tuple[Any, ...], data: Any) -> None:
    """With either alphabet, excess padding and white space."""
    string = logged_in(StringSession(), login).save()
    letters = [data.draw(st.sampled_from([letter, standard_letter(letter)])) for letter in string]
    for at in data.draw(st.lists(st.integers(1, len(letters)), max_size=3)):
        letters.insert(at, data.draw(st.sampled_from([" ", "\n", "'", '"'])))
    changed = "".join(letters) + "=" * data.draw(st.integers(0, 2))
    ours = RustStringSession(changed)
    assert login_of(ours) == login_of(StringSession(string))
    try:
        theirs = StringSession(changed)
    except (ValueError, struct.error):
        return
    assert login_of(ours) == login_of(theirs)


def standard_letter(letter: str) -> str:
    return {"-": "+", "_": "/"}.get(letter, letter)


def refusal(string: str) -> str:
    """Returns the error message, which must not quote any part of the string."""
    with pytest.raises(ValueError, match="Not a valid string") as caught:
        RustStringSession(string)
    message = str(caught.value)
    assert not any(string[at : at + 6] in message for at in range(len(string) - 5) if string[at : at + 6].strip())
    return message


INVALID = {
    "a character is missing": [GOOD[:100] + GOOD[101:], GOOD[:-1], V6[:200] + V6[201:], V6[:-1], f" '{GOOD[:-1]}' "],
    "3 characters are missing": [GOOD[:100] + GOOD[103:]],
    "first character, '1', is missing": [GOOD[1:], V6[1:], f"'{GOOD[1:]}'"],
    "a character is too many": [f"{GOOD[:100]}A{GOOD[100:]}"],
    "goes on after its end": [GOOD + GOOD, f"{GOOD}\n{V6}", f"{GOOD}AAAA"],
    "character 101 is not valid in a string session": [
        f"{GOOD[:100]}\u0410{GOOD[101:]}",
        f"{GOOD[:100]}%{GOOD[100:]}",
        f"{V6[:100]}\0{V6[100:]}",
    ],
    "it is empty": [" ", "\n", "''", "\ufeff"],
    "begins with '1'": ["2" + GOOD[1:], "hello"],
}


@pytest.mark.parametrize(("reason", "string"), [(reason, string) for reason in INVALID for string in INVALID[reason]])
def test_the_message_has_the_reason(reason: str, string: str) -> None:
    assert reason in refusal(string)


def pyrogram(format: str, *before: int) -> str:
    data = struct.pack(format, 2, *before, False, bytes(range(256)), 777_000, True)
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


# In the formats of Pyrogram's and kurigram's `storage.py`, mtcute's `string-session.ts`, and MTKruto's `0_storage.ts`.
FOREIGN = {
    "Pyrogram 1": ("Pyrogram", pyrogram(">B?256sI?")),
    "Pyrogram 1, long ids": ("Pyrogram", pyrogram(">B?256sQ?")),
    "Pyrogram 2": ("Pyrogram", pyrogram(">BI?256sQ?", 12345)),
    "mtcute": ("mtcute", unpadded(b"\3\1\0\0\0\x07" + b"\1\2\0" * 5 + b"\xfe\0\1\0" + bytes(range(256)))),
    # As long as two of Pyrogram's.
    "MTKruto": ("MTKruto", unpadded(b"\x012\0\2\xfe\0\1\1\0\1\0\1" + bytes(range(1, 256)))),
    "MTKruto, API ID": ("MTKruto", unpadded(b"\x012\0\2\xfe\0\1\1\0\1" + bytes(range(1, 256)) + b"\1\1\1\1\0\1")),
}


@pytest.mark.parametrize(("library", "string"), FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("paste", [str, *PASTED.values()])
def test_a_string_of_another_library(library: str, string: str, paste: Callable[[str], str]) -> None:
    assert f"{library} string: convert it with `telethon-session import NAME`" in refusal(paste(string))


def test_the_lengths_of_pyrogram() -> None:
    assert [len(string) for _, string in FOREIGN.values()][:3] == [351, 356, 362]
    assert [len(string) for library, string in FOREIGN.values() if library == "MTKruto"] == [356, 362]


# Created by GramJS 2.26: `new StringSession()`, `setDC`, a key of the bytes 0 to 255, `save()`.
REAL_GRAM_JS = (Path(__file__).parents[1] / "data" / "gramjs-strings.txt").read_text().split()


@pytest.mark.parametrize("string", REAL_GRAM_JS, ids=range(len(REAL_GRAM_JS)))
@pytest.mark.parametrize("change", [str, lambda string: string.rstrip("="), lambda string: f"'{string}'\n"])
def test_a_real_string_of_gram_js(string: str, change: Callable[[str], str]) -> None:
    assert {"+", "/"} & {*string}
    assert "this is a GramJS string" in refusal(change(string))


@pytest.mark.parametrize("string", ["1\ud800", GOOD[:50] + "\ud800" + GOOD[50:]])
def test_the_error_for_a_lone_surrogate_does_not_contain_the_string(string: str) -> None:
    """Python's own error would contain all of it."""
    with pytest.raises(ValueError, match="Not a valid string") as caught:
        RustStringSession(string)
    assert not isinstance(caught.value, UnicodeError)


@pytest.mark.parametrize("string", [b"1" + GOOD[1:].encode(), 1, object(), "1\ud800"])
def test_a_string_of_another_type(string: Any) -> None:
    for session in (StringSession, RustStringSession):
        with pytest.raises((TypeError, ValueError)):
            session(string)


@pytest.mark.parametrize("address", ["149.154.167.51", "149.154.175.100", "91.108.56.1", "venus.web.telegram.org"])
def test_a_string_of_gram_js(address: str) -> None:
    """With an address of 14 characters it is as long as ours with IPv6: Telethon reads a wrong
    address and key.
    """
    text = struct.pack(">H", len(address)) + address.encode()
    string = text_of(packed(2, text, 443, LOGIN[3]))
    if len(address) == 14:
        assert StringSession(string).server_address != address
    with pytest.raises(ValueError, match=r"Not a valid string.*GramJS"):
        RustStringSession(string)


@given(st.text(max_size=400) | st.binary(max_size=400).map(text_of))
def test_any_text_is_a_session_or_a_value_error(string: str) -> None:
    try:
        session = RustStringSession(string)
    except ValueError:
        return
    assert login_of(session) == login_of(StringSession(string))


def test_values_that_do_not_fit_are_refused() -> None:
    for login in [(256, *LOGIN[1:]), (-1, *LOGIN[1:]), (*LOGIN[:2], 65536, LOGIN[3]), (*LOGIN[:2], -1, LOGIN[3])]:
        with pytest.raises(struct.error):
            StringSession.save(logged_in(StringSession(), login))
        with pytest.raises(ValueError, match="cannot hold"):
            RustStringSession.save(logged_in(RustStringSession(), login))
    with pytest.raises(ValueError, match="without a port"):
        RustStringSession.save(logged_in(RustStringSession(), (*LOGIN[:2], None, LOGIN[3])))
    for session in (StringSession, RustStringSession):
        with pytest.raises(ValueError, match="does not appear to be an IPv4 or IPv6 address"):
            logged_in(session(), (2, "venus.web.telegram.org", 443, LOGIN[3])).save()


def test_encode_and_decode_can_be_overridden() -> None:
    class Hexadecimal(RustStringSession):
        @staticmethod
        def encode(x: bytes) -> str:
            return x.hex()

        @staticmethod
        def decode(x: str) -> bytes:
            return bytes.fromhex(x)

    string = logged_in(Hexadecimal(), LOGIN).save()
    assert string == "1" + packed(2, LOGIN[1].packed, 443, LOGIN[3]).hex()
    assert login_of(Hexadecimal(string)) == login_of(StringSession(GOOD))
    assert StringSession.save(Hexadecimal(string)) == GOOD


def test_an_overridden_decode_receives_the_unmodified_text() -> None:
    received = []

    class Own(RustStringSession):
        def decode(self, x: str) -> bytes:  # type: ignore[override]
            received.append(x)
            return RustStringSession.decode(x)

    pasted = f"{GOOD[0]} '{GOOD[1:]}'\n"
    assert login_of(Own(pasted)) == login_of(StringSession(GOOD))
    assert received == [pasted[1:]]
    with pytest.raises(ValueError, match="begins with '1'"):
        Own(f" {GOOD}")


@given(st.binary(max_size=300))
def test_encode_and_decode_are_static(data: bytes) -> None:
    assert RustStringSession.encode(data) == StringSession.encode(data)
    assert RustStringSession.decode(StringSession.encode(data)) == data
    assert RustStringSession().decode(RustStringSession().encode(data)) == data
