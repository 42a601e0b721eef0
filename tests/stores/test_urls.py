"""URLs of servers: no message contains a part of user name and password, however they are written."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from telethon_session_rust import open_session
from telethon_session_rust._core import public_url
from telethon_session_rust._url import with_options
from telethon_session_rust.cli import places
from telethon_session_rust.cli.errors import CommandError
from telethon_session_rust.opening import server_class

SCHEMES = ["redis", "rediss", "redis+sentinel", "redis+cluster", "unix", "valkey"]
SCHEMES += ["postgresql", "postgresql+psycopg2", "mysql", "mariadb", "mongodb", "mongodb+srv"]
# Which no message contains by itself.
_WORDS = st.sampled_from(["zqxj", "wvkzq", "7391", "zq%40", "é№zq"])
_SECRETS = st.lists(_WORDS | st.sampled_from("@:/?#%&=[],"), min_size=1, max_size=7).map("".join)
_RESTS = st.sampled_from(
    ["h/0", "h", "h:6379/0", "h:port/0", "[::1/0", "h1,h2:x/m/1", "/run/s", "h/0?timeout=x", "h?a=b"]
)


@example("redis+sentinel", "", ":7391/zqxj", "h/0")
@example("postgresql", "zqxj", "7391?timeout=wvkzq", "h/0")
@example("mongodb", "zqxj", "7391/wvkzq", "h:port/0")
@example("redis", "", "7391#zqxj", "h/0")
@given(st.sampled_from(SCHEMES), _SECRETS | st.just(""), _SECRETS, _RESTS)
def test_nothing_of_user_and_password_is_shown(scheme: str, user: str, password: str, rest: str) -> None:
    url = f"{scheme}://{user}:{password}@{rest}"
    words = [word for word in ("zq", "7391", "wvk", "xj", "№", quote("№")) if word in user + password]
    texts = [_told(url), _told(with_options(url, prefix="a", timeout=1))]
    try:
        texts.append(str(places.place(f"{url}#anon", None)))
    except CommandError as error:
        texts.append(str(error))
    assert not [(text, word) for text in texts for word in words if word in text]


def _told(url: str) -> str:
    kind = server_class(url)._kind
    try:
        return public_url(kind, url)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_encoded_passwords_are_taken(scheme: str) -> None:
    if scheme == "mongodb+srv":
        pytest.skip("asks the DNS when it is used only")
    rest = "/socket" if scheme == "unix" else "h" if "cluster" in scheme else "h/1"
    secret = quote("zqxj@:/?#%&=[],", safe="")
    assert _told(f"{scheme}://u:{secret}@{rest}").startswith(("redis", "rediss", "postgresql", "mysql", "mongodb"))


@pytest.mark.parametrize(
    "location, advice",
    [
        ("postgre://h/db#anon", "Did you mean postgres"),
        ("http://h#anon", "no known kind of server"),
        ("redis://h/0", "name is missing"),
        ("redis://h/0#", "name is missing"),
        ("redis://:7391#zq@h/0", "%23"),
        ("redis://:1#2@h/0#anon", "%23"),
        ("redis://h/telethon#anon", "database"),
    ],
)
def test_what_to_do_about_a_location(location: str, advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        open_session(location)
