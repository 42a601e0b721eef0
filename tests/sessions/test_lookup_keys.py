"""Every lookup key is classified as Telethon does: as phone, username, invite link, ID or name.

Both classes override `get_entity_rows_by_...` and look up one key. They must call identical
methods, in identical order and with identical arguments, whatever the methods return.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable
from itertools import product
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from telethon.sessions import MemorySession, SQLiteSession

from support import lookup_keys as keys
from support.profile import PROFILE
from telethon_session_rust import RustMemorySession, RustSQLiteSession, RustStringSession

# A digit, a letter, letters that match ASCII with IGNORECASE (long s, Kelvin, dotted and dotless
# i), and two spaces.
FOREIGN = "\u0663\u0436\u017f\u212a\u0130\u0131\u200b\u3000"
MANY = settings(max_examples=50 * settings().max_examples)


class Recorder:
    """Records its calls. Only the method named by `finds` finds an entity."""

    finds = ""

    def record(self, method: str, *arguments: Any) -> tuple[int, int] | None:
        self.__dict__.setdefault("calls", []).append((method, *((type(value), value) for value in arguments)))
        return (-1000000000007, 8) if method == self.finds else None

    def get_entity_rows_by_phone(self, phone: str) -> Any:
        return self.record("phone", phone)

    def get_entity_rows_by_username(self, username: str) -> Any:
        return self.record("username", username)

    def get_entity_rows_by_name(self, name: str) -> Any:
        return self.record("name", name)

    def get_entity_rows_by_id(self, id: int, exact: bool = True) -> Any:
        return self.record("id", id, exact)


class Theirs(Recorder, MemorySession): ...


class Ours(Recorder, RustMemorySession): ...


def calls(session: Any, key: Any, finds: str = "") -> list[Any]:
    session.finds, session.calls = finds, []
    try:
        session.calls.append(session.get_input_entity(key))
    except Exception as error:
        session.calls.append(type(error))
    return session.calls


def differences(texts: Iterable[str]) -> list[Any]:
    theirs, ours = Theirs(), Ours()
    found = ((text, calls(theirs, text), calls(ours, text)) for text in texts)
    return [(text, expected, actual) for text, expected, actual in found if expected != actual][:10]


def is_assigned(code_point: int) -> bool:
    return PROFILE == "long" or unicodedata.category(chr(code_point)) not in ("Cn", "Co", "Cs")


@pytest.mark.parametrize("rest", ["", "abc", " x", "1234567", " " + "A" * 16])
def test_every_first_character(rest: str) -> None:
    characters = filter(is_assigned, range(sys.maxunicode + 1))
    assert differences(chr(character) + rest for character in characters) == []


@pytest.mark.parametrize("before", ["abc", "79991234567", "@abc", "t.me/abc", "0123456789abcdef0123456"])
def test_every_last_character(before: str) -> None:
    """It may be white space, a digit or a letter as Python defines them, or match an ASCII letter
    in another case.
    """
    characters = filter(is_assigned, range(sys.maxunicode + 1))
    assert differences(before + chr(character) for character in characters) == []


def test_every_ascii_text_of_three_characters() -> None:
    letters = "aZ0_ @+-/.=\n\x1c\x7f"
    assert differences("".join(text) for text in product(map(chr, range(128)), letters, letters)) == []
    assert differences("".join(text) for text in product(letters, letters, map(chr, range(128)))) == []


@pytest.mark.parametrize("length", [*range(36), 63, 64, 65, 255])
def test_every_length(length: int) -> None:
    """Usernames have 3 to 32 characters. Invite links have 16 or 22 of base64, or 24 or 32
    hexadecimal digits.
    """
    prefixes = ["", "@", "t.me/", "t.me/+", "https://www.telegram.dog/joinchat/", "tg://join?invite=", "+", " "]
    bodies = [letter * length for letter in "a0f_Ag-+=" + FOREIGN]
    bodies += [("a_" * length)[:length], ("AAAABQ" * length)[:length], ("0a 1" * length)[:length]]
    assert differences(prefix + body for prefix in prefixes for body in bodies) == []


@MANY
@given(keys.keys, st.sampled_from(["", "phone", "username", "name", "id"]))
@example("abcdef0123456789abcdef01", "id")
@example("0" * 8 + "00000005" + "0" * 16, "id")
def test_any_key(key: Any, finds: str) -> None:
    assert calls(Ours(), key, finds) == calls(Theirs(), key, finds)


@MANY
@given(st.text(max_size=40) | st.text(st.characters(max_codepoint=127), max_size=40))
def test_any_text(text: str) -> None:
    assert differences([text]) == []


LETTERS = "aAzZ09_-+=/@.: \n" + "joinchat" + FOREIGN


@MANY
@given(
    st.sampled_from(["", *keys.LINKS, *keys.INVITES]), st.text(LETTERS, max_size=34), st.sampled_from(["", "/", " "])
)
def test_any_link(prefix: str, rest: str, end: str) -> None:
    assert differences([prefix + rest + end]) == []


def overriding(base: type, *methods: str) -> type:
    """Returns a subclass that records some of the methods only."""
    return type(
        f"Own{base.__name__}",
        (base,),
        {"record": Recorder.record, "finds": ""} | {name: getattr(Recorder, name) for name in methods},
    )


@pytest.mark.parametrize("method", ["id", "username", "phone", "name"])
@pytest.mark.parametrize("bases", [(MemorySession, RustMemorySession), (SQLiteSession, RustSQLiteSession)])
@given(key=keys.keys, finds=st.booleans())
def test_one_overridden_method(method: str, bases: tuple[type, type], key: Any, finds: bool) -> None:
    theirs, ours = (overriding(base, f"get_entity_rows_by_{method}")() for base in bases)
    found = method if finds else ""
    assert calls(ours, key, found) == calls(theirs, key, found)


@pytest.mark.parametrize("text", ["\ud800", "abc\udfff", "@\ud800", "t.me/joinchat/\ud800", "+7999\udc80"])
@pytest.mark.parametrize("session", [MemorySession, RustMemorySession, RustSQLiteSession, RustStringSession])
def test_a_lone_surrogate_matches_nothing(session: Any, text: str) -> None:
    """Telethon's SQLite session raises the error of `sqlite3`."""
    assert calls(session(), text) == [ValueError]
    assert differences([text]) == []
