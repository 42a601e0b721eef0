"""Hypothesis strategies for the argument of `get_input_entity`."""

from __future__ import annotations

from hypothesis import strategies as st
from telethon.tl import types

from support import entities

ids = st.one_of(
    st.integers(-6, 6),
    st.integers(1, 6).map(lambda id: -1000000000000 - id),
    entities.ids,
    # Above 2**63 - 10**12, which is too large for a channel, Telethon raises an error and ours
    # finds nothing.
    st.sampled_from([True, -1000000000000, 9999999999, -(2**63), 2**63 - 10**12 - 1, -(2**63) - 1, 2**63, 2**200]),
)

# 12 and 16 bytes as Base64 and hexadecimal, with IDs of `entities` in place of a chat's ID.
HASHES = [
    "AAAABQAAAAAAAAAA",
    "AAAAAAAAAAUAAAAAAAAAAA",
    "00000005" + "0" * 16,
    "0" * 8 + "00000005" + "0" * 16,
    "a" * 24,
    "g" * 24,
    "٣" * 24,
    "0123456789abcdef 0123456",
]
LINKS = ["", "@", "t.me/", "https://t.me/", "http://www.telegram.me/", "telegram.dog/", "t.me/@", "HTTPS://T.ME/"]
INVITES = ["t.me/joinchat/", "https://t.me/+", "tg://join?invite=", "tg://resolve?domain="]

_invites = st.builds("{}{}".format, st.sampled_from(["", *LINKS, *INVITES]), st.sampled_from(HASHES) | entities.texts)
_links = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "", " ", "\n", "\u3000"]),
    st.sampled_from(LINKS),
    entities.usernames | entities.texts,
    st.sampled_from(["", "", "/", "//", " ", "\n", "?start=1"]),
)
_full_names = st.builds("{} {}".format, entities.names, entities.names)
_phones = st.builds("{}{}".format, st.sampled_from(["", "+", "(", " "]), entities.phones)

texts = st.one_of(entities.names, entities.usernames, _full_names, _phones, _links, _invites)

_peers = st.one_of(
    st.builds(types.PeerUser, ids),
    st.builds(types.PeerChat, ids),
    st.builds(types.PeerChannel, ids),
    entities.bare_peers,
    entities.entities,
)
_junk = st.sampled_from([None, 1.0, b"anna", [], {}, [types.PeerUser(1)], object, types.PeerUser])

keys = st.one_of(ids, texts, _peers, _junk)
