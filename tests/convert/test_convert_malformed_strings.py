"""Malformed and hostile strings: an error that does not contain the string, and never another
login.
"""

from __future__ import annotations

import base64
import random
import struct
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon.crypto import AuthKey

from support.library_strings import Login, login_of
from telethon_session_rust import RustStringSession
from telethon_session_rust.convert import ConversionError, convert
from telethon_session_rust.foreign.strings import FORMATS, is_incomplete, read_string

pytestmark = pytest.mark.any_release

KEY = random.Random(14).randbytes(256)
LOGIN = Login(2, "149.154.167.51", 443, KEY, False, 777000, True, 12345)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def telethon_string() -> str:
    session = RustStringSession()
    session.set_dc(2, LOGIN.address, 443)
    session.auth_key = AuthKey(KEY)
    return session.save()


def pyrogram(layout: str) -> str:
    return text_of(struct.pack(layout, 2, False, KEY, 777000, True))


def text_of(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


STRINGS = {
    "Telethon": telethon_string(),
    "Pyrogram 351": pyrogram(">B?256sI?"),
    "Pyrogram 356": pyrogram(">B?256sQ?"),
    **{name: FORMATS[name].write(LOGIN.foreign()) for name in FORMATS},
}
each_string = pytest.mark.parametrize("string", STRINGS.values(), ids=STRINGS)


def refusal(string: str) -> str:
    with pytest.raises(ConversionError) as caught:
        read_string(string)
    return without_parts(string, caught.value)


def without_parts(string: str, error: BaseException | None) -> str:
    """Returns the error message. Neither it nor those of its causes contain a part of the string."""
    message = str(error)
    while error:
        text = f"{error}{error.args}"
        # The messages name libraries, so only what is longer can give a string away.
        assert not any(string[at : at + 10] in text for at in range(len(string) - 9) if string[at : at + 10].strip())
        error = error.__cause__
    return message


@pytest.mark.parametrize("name", ["Telethon", "gramjs"])
def test_a_message_says_once_that_a_string_is_not_valid(name: str) -> None:
    assert refusal(STRINGS[name][:-9]).count("not a valid") == 1


@each_string
def test_every_truncation(string: str) -> None:
    letters = string.rstrip("=")
    for length in range(1, len(letters)):
        try:
            found = read_string(letters[:length])
        except ConversionError as error:
            without_parts(letters[:length], error)
            assert is_incomplete(letters[:length])
        else:
            # Strings of older releases of MTKruto end where newer ones have the account.
            assert found.library == "MTKruto" and (found.dc_id, found.auth_key, found.user_id) == (2, KEY, None)
    assert not is_incomplete(string)


@each_string
def test_something_follows(string: str) -> None:
    for more in ("A", "AA", "AAAA", string, f" {string}", f"={string}", "!"):
        refusal(string + more)


@each_string
@given(st.data())
def test_a_letter_is_missing_added_or_wrong(string: str, data: Any) -> None:
    """Nothing but the key, the account and where to connect can change unnoticed: the strings have
    no checksum.
    """
    at = data.draw(st.integers(0, len(string) - 1))
    letter = data.draw(st.sampled_from(LETTERS))
    for changed in (string[:at] + string[at + 1 :], string[:at] + letter + string[at:]):
        try:
            found = read_string(changed)
        except ConversionError as error:
            without_parts(changed, error)
        else:
            # Padding, or a letter beside its like.
            assert found == read_string(string)
    changed = string[:at] + letter + string[at + 1 :]
    try:
        found = read_string(changed)
    except ConversionError as error:
        without_parts(changed, error)
        return
    original = read_string(string)
    differing = sum(one != other for one, other in zip(found.auth_key, original.auth_key, strict=True))
    assert found.library == original.library and differing <= 2


@pytest.mark.parametrize("position", [0, 100, 300])
@pytest.mark.parametrize("character", ["!", "é", "\0", "\ud800", "\u0410", "%"])
@each_string
def test_a_character_that_is_not_base64(string: str, position: int, character: str) -> None:
    message = refusal(string[:position] + character + string[position + 1 :])
    assert "is not valid in a string session" in message
    assert character == "\ud800" or f"character {position + 1} " in message


def test_a_string_without_its_first_character() -> None:
    """It is as long as one of Pyrogram's."""
    string = STRINGS["Telethon"][1:]
    assert len(string.rstrip("=")) == 351
    assert "first character, '1', is missing" in refusal(string)


MTCUTE = base64.urlsafe_b64decode(STRINGS["mtcute"] + "==")
HOSTILE = {
    "empty": "",
    "white space": " \n\t",
    "short": "AgAA",
    "a name": "anna.session",
    "megabytes": "A" * 30_000_000,
    "megabytes of white space": " " * 30_000_000 + STRINGS["pyrogram"],
    "megabytes of characters": "\u0410" * 10_000_000,
    "a bomb": text_of(b"\x012\0\2\xfe\0\1\1\0\1" + b"\0\xff" * 700),
    "no key": text_of(struct.pack(">B?256sI?", 2, False, bytes(256), 1, False)),
    "data centre 0": text_of(struct.pack(">B?256sI?", 0, False, KEY, 1, False)),
    "data centre 9": text_of(struct.pack(">BI?256sQ?", 9, 1, False, KEY, 1, False)),
    "a flag of 2": text_of(struct.pack(">BIB256sQ?", 2, 1, 2, KEY, 1, False)),
    "no such account": text_of(struct.pack(">BI?256sQ?", 2, 1, False, KEY, 2**63, False)),
    "no such API ID": text_of(struct.pack(">BI?256sQ?", 2, 2**32 - 1, False, KEY, 1, False)),
    "mtcute 0": text_of(b"\0" + MTCUTE[1:]),
    "mtcute 4": text_of(b"\4" + MTCUTE[1:]),
    "unknown flags": text_of(MTCUTE[:1] + b"\x08" + MTCUTE[2:]),
    "negative flags": text_of(MTCUTE[:4] + b"\x80" + MTCUTE[5:]),
    "a length of 16 MB": text_of(MTCUTE[:5] + b"\xfe\xff\xff\xff" + MTCUTE[6:]),
    "no length": text_of(MTCUTE[:5] + b"\xff" + MTCUTE[6:]),
    "a host name": text_of(MTCUTE.replace(b"149.154.167.51", b"telegram.org\0\0")),
    "port 0": text_of(MTCUTE.replace(b"\xbb\1\0\0", bytes(4))),
    "a key of 255 bytes": text_of(MTCUTE.replace(b"\xfe\0\1\0", b"\xfe\xff\0\0")),
    "something behind the key": text_of(MTCUTE + bytes(4)),
    "GramJS, no key": "1" + base64.b64encode(b"\2\0\x0e149.154.167.51\1\xbb" + bytes(256)).decode(),
    "GramJS, another address": "1" + base64.b64encode(b"\2\0\x0e149.154.167.512\1\xbb" + KEY).decode(),
    "GramJS, no address": "1" + base64.b64encode(b"\2\0\0\1\xbb" + KEY).decode(),
    "GramJS, port 0": "1" + base64.b64encode(b"\2\0\x0e149.154.167.51\0\0" + KEY).decode(),
    "GramJS, dots": "1" + base64.b64encode(b"\2\0\x0e..............\1\xbb" + KEY).decode(),
}


@pytest.mark.parametrize("string", HOSTILE.values(), ids=HOSTILE)
def test_the_message_for_a_hostile_string(string: str) -> None:
    if len(string) < 10_000:
        refusal(string)


@pytest.mark.parametrize("string", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_string_takes_no_memory(string: str) -> None:
    tracemalloc.start()
    with pytest.raises(ConversionError):
        read_string(string)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


@given(st.binary(max_size=500) | st.binary(min_size=263, max_size=300), st.sampled_from(["", "1"]))
def test_random_bytes(data: bytes, version: str) -> None:
    string = version + text_of(data)
    try:
        found = read_string(string)
    except ConversionError as error:
        without_parts(string, error)
    else:
        assert found.auth_key in data


@given(st.text(max_size=400))
def test_random_text(text: str) -> None:
    with pytest.raises(ConversionError):
        read_string(text)
    assert not is_incomplete(text) or len(text) < 700


def test_the_login_is_not_shown() -> None:
    for string in STRINGS.values():
        found = read_string(string)
        assert login_of(found).key == KEY
        for form in (repr(KEY)[2:20], KEY.hex()[:16], string[100:120]):
            assert form not in f"{found}{found!r}"


@each_string
def test_nothing_is_written(string: str, tmp_path: Any) -> None:
    with pytest.raises(ConversionError):
        convert(string[:-30], "anna")
    assert list(tmp_path.iterdir()) == []
