"""Session strings, with the real libraries on the other side: they read what we write, and we read
what they write.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telethon.crypto import AuthKey
from telethon.sessions import StringSession

from support.counters import tally
from support.library_strings import (
    PYROGRAMS,
    Login,
    Refused,
    login_of,
    npm_converts,
    npm_reads,
    npm_writes,
    pyrogram_reads,
    pyrogram_writes,
)
from telethon_session_rust import RustStringSession
from telethon_session_rust.foreign.data_centres import address
from telethon_session_rust.foreign.session import ConversionError
from telethon_session_rust.foreign.strings import FORMATS, read_string

pytestmark = pytest.mark.any_release

LAST_USER = 2**40 - 1
PRODUCTION, TEST = [1, 2, 3, 4, 5, 203], [1, 2, 3]

# MTKruto writes zeros in a way of its own; @mtcute/convert fails at 255 of them.
keys = (
    st.binary(min_size=256, max_size=256) | st.lists(st.sampled_from([0, 0, 1]), min_size=256, max_size=256).map(bytes)
).filter(lambda key: key.count(0) < 250)
data_centres = st.sampled_from([*((dc, False) for dc in PRODUCTION), *((dc, True) for dc in TEST)])
accounts = st.tuples(st.integers(1, LAST_USER), st.booleans())
addresses = st.ip_addresses().map(lambda ip: ip.compressed).filter(lambda ip: ip != "::")


@st.composite
def known_logins(draw: Any) -> Login:
    """Logins at Telegram's data centres."""
    dc_id, is_test = draw(data_centres)
    found = address(dc_id, is_test)
    assert found
    return Login(dc_id, *found, draw(keys), is_test, *draw(accounts), draw(st.integers(1, 2**31 - 1)))


@st.composite
def other_logins(draw: Any, ports: int = 2**16 - 1, is_test: bool | None = None) -> Login:
    """Logins anywhere."""
    test = draw(st.booleans()) if is_test is None else is_test
    place = (draw(st.integers(1, 255)), draw(addresses), draw(st.integers(1, ports)))
    return Login(*place, draw(keys), test, *draw(accounts | st.just((None, None))))


@pytest.mark.parametrize("library", PYROGRAMS)
@given(known_logins())
def test_pyrogram(library: str, login: Login) -> None:
    is_old = library.startswith(("pyrogram-0", "pyrogram-1"))
    if is_old:
        # Until 1.2 an account's ID had 32 bits.
        login.user_id = (login.user_id or 0) % (2**40 if "1.4" in library else 2**31 - 2) | 2**8
    string = pyrogram_writes(library, login)
    assert len(string) in ({351, 356} if is_old else {362})
    if len(string) == 351 and login.key[3] <= 1 and not login.is_bot:
        with pytest.raises(ConversionError, match="its last 11 characters may be missing"):
            read_string(string)
        return
    found = read_string(string)
    assert found.library == "Pyrogram"
    assert login_of(found) == (login.without("api_id") if is_old else login)
    if not is_old:
        assert FORMATS["pyrogram"].write(login.foreign()) == string
    elsewhere = pyrogram_reads("kurigram-2.2.26", string)
    assert (elsewhere.key, elsewhere.user_id, elsewhere.is_bot) == (login.key, login.user_id, login.is_bot)
    tally("strings of Pyrogram and Kurigram")


@given(other_logins(ports=2**15 - 1, is_test=False))
def test_gram_js(login: Login) -> None:
    login = login.without("user_id", "is_bot")
    string = npm_writes("gramjs", login)
    found = read_string(string)
    assert (found.library, login_of(found).without("is_test")) == ("GramJS", login.without("is_test"))
    assert FORMATS["gramjs"].write(login.foreign()) == string
    assert npm_reads("gramjs", string) == login or login.address == "::1"
    tally("strings of GramJS")


@pytest.mark.parametrize("host", ["venus.web.telegram.org", "vesta-1.web.telegram.org", "zws4.web.telegram.org"])
def test_a_host_name_of_gram_js_becomes_the_address(host: str) -> None:
    found = read_string(npm_writes("gramjs", Login(4, host, 443, bytes([1] * 256))))
    assert (found.dc_id, found.server_address, found.port) == (4, "149.154.167.91", 443)
    assert "host name" in found.notes[0]
    with pytest.raises(ConversionError, match="data centre 6 is not one of Telegram's"):
        read_string(npm_writes("gramjs", Login(6, host, 443, bytes([1] * 256))))


@pytest.mark.parametrize("version", [1, 2, 3])
@given(other_logins(), st.booleans())
def test_mtcute(version: int, login: Login, has_media: bool) -> None:
    string = npm_writes("mtcute", login, version=version, media=has_media and version > 1)
    found = read_string(string)
    assert (found.library, login_of(found)) == ("mtcute", login)
    ours = FORMATS["mtcute"].write(login.foreign())
    if version == 3 and not has_media:
        assert ours == string
    assert npm_reads("mtcute", ours) == login
    tally("strings of mtcute")


@given(known_logins())
def test_mtkruto(login: Login) -> None:
    """@mtcute/convert writes what the first releases of MTKruto wrote, and reads all."""
    old, new = npm_converts("mtkruto", login), FORMATS["mtkruto"].write(login.foreign())
    assert login_of(read_string(old)) == login.without("user_id", "is_bot", "api_id")
    assert login_of(read_string(new)) == login
    assert read_string(new).library == read_string(old).library == "MTKruto"
    # @mtcute/convert does not know data centre 203.
    for string in (old, new) if login.dc_id != 203 else ():
        found = npm_reads("convert", string, **{"from": "mtkruto"})
        assert (found.dc_id, found.is_test, found.key) == (login.dc_id, login.is_test, login.key)
    tally("strings of MTKruto")


def test_a_string_of_mtkruto_may_be_as_long_as_pyrograms() -> None:
    # Each zero in a key makes its string longer.
    keys = [b"\7\0" * zeros + bytes([7] * (256 - 2 * zeros)) for zeros in range(12)]
    strings = [npm_converts("mtkruto", Login(2, "1.1.1.1", 443, key)) for key in keys]
    assert {356, 362} <= {*map(len, strings)}
    assert {read_string(string).library for string in strings} == {"MTKruto"}


@pytest.mark.parametrize("library", ["gramjs", "pyrogram"])
@given(known_logins())
def test_what_the_converter_of_npm_writes_and_reads(library: str, login: Login) -> None:
    login.dc_id = login.dc_id if login.is_test else login.dc_id % 5 + 1
    known = address(login.dc_id, login.is_test)
    assert known
    login.address, login.port = known
    theirs, ours = npm_converts(library, login), FORMATS[library].write(login.foreign())
    assert theirs == ours
    lost = ("user_id", "is_bot", "api_id") if library == "gramjs" else ()
    assert login_of(read_string(theirs)) == login.without(*lost)
    found = npm_reads("convert", ours, **{"from": library})
    assert (found.dc_id, found.is_test, found.key) == (login.dc_id, login.is_test, login.key)


@given(other_logins())
def test_telethon(login: Login) -> None:
    theirs, ours = StringSession(), RustStringSession()
    for session in (theirs, ours):
        session.set_dc(login.dc_id, login.address, login.port)
        session.auth_key = AuthKey(login.key)
    found = login_of(read_string(theirs.save()))
    assert found.without("is_test") == login.without("is_test", "user_id", "is_bot")
    assert login_of(read_string(ours.save())) == found


PASTES: list[Callable[[str], str]] = [
    lambda string: f" '{string}'\r\n",
    lambda string: "\n".join(string[at : at + 60] for at in range(0, len(string), 60)),
    lambda string: f"\ufeff\u201c{string}\u201d",
    lambda string: "\u200b".join(string),
    lambda string: string.replace("-", "+").replace("_", "/"),
    lambda string: string.replace("+", "-").replace("/", "_"),
]


@pytest.mark.parametrize("name", FORMATS)
@given(known_logins(), st.sampled_from(PASTES))
def test_a_pasted_string(name: str, login: Login, paste: Callable[[str], str]) -> None:
    string = FORMATS[name].write(login.foreign())
    assert read_string(paste(string)) == read_string(string)
    with pytest.raises(ValueError, match=f"{FORMATS[name].library} string: convert it with"):
        RustStringSession(paste(string))


@pytest.mark.parametrize("name", ["pyrogram", "mtkruto"])
@pytest.mark.parametrize(("dc_id", "is_test"), [(6, False), (4, True), (203, True)])
def test_an_unknown_data_centre(name: str, dc_id: int, is_test: bool) -> None:
    login = Login(dc_id, "1.1.1.1", 443, bytes([1] * 256), is_test, 1, False, 1)
    with pytest.raises(ConversionError, match=f"data centre {dc_id} is not one of Telegram's"):
        FORMATS[name].write(login.foreign())
    string = npm_converts(name, login)
    with pytest.raises(ConversionError, match=f"data centre {dc_id} is not one of Telegram's"):
        read_string(string)


def test_values_that_a_string_cannot_hold() -> None:
    login = Login(2, "1.1.1.1", 443, bytes([1] * 256), False, 1, False, 1)
    with pytest.raises(ConversionError, match="port 40000"):
        FORMATS["gramjs"].write(Login(2, "1.1.1.1", 40000, login.key).foreign())
    with pytest.raises(Refused):
        npm_writes("gramjs", Login(2, "1.1.1.1", 40000, login.key))
    for name in ("gramjs", "mtcute"):
        with pytest.raises(ConversionError, match="data centre 256"):
            FORMATS[name].write(Login(256, "1.1.1.1", 443, login.key).foreign())
