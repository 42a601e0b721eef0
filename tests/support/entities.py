"""Telethon's users, chats and channels as a client receives them: constructors and hypothesis
strategies.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from hypothesis import strategies as st
from telethon.tl import TLObject, types

DATE = datetime(2024, 1, 1, tzinfo=timezone.utc)
PHOTO = types.ChatPhotoEmpty()
# From 1.45 on.
HAS_COMMUNITIES = hasattr(types, "Community")
# From 1.27 on.
HAS_USERNAMES = hasattr(types, "Username")


def user(id: int, access_hash: int | None = 1, **fields: Any) -> types.User:
    return types.User(id, access_hash=access_hash, **fields)


def named(id: int, username: str | None, *usernames: str, inactive: tuple[str, ...] = ()) -> types.User:
    """Returns a user with several usernames."""
    several = [types.Username(name, editable=n == 0 or None, active=True) for n, name in enumerate(usernames)]
    return user(id, username=username, usernames=[*several, *(types.Username(name) for name in inactive)])


def chat(id: int, title: str = "chat") -> types.Chat:
    return types.Chat(id, title, PHOTO, participants_count=3, date=DATE, version=1)


def channel(id: int, access_hash: int | None = 1, title: str = "channel", **fields: Any) -> types.Channel:
    return types.Channel(id, title, PHOTO, date=DATE, access_hash=access_hash, **fields)


def community(id: int, access_hash: int | None = 1, title: str = "community", **fields: Any) -> TLObject:
    return types.Community(id, title, PHOTO, date=DATE, access_hash=access_hash, **fields)


def resolved_peer(chats: Any, users: Any) -> types.contacts.ResolvedPeer:
    return types.contacts.ResolvedPeer(types.PeerUser(1), chats, users)


def crowd(count: int) -> list[TLObject]:
    """Returns different users, channels and chats, some without a username or phone, some with
    non-Latin names.
    """
    result = []
    for n in range(1, count + 1):
        if n % 7 == 0:
            result.append(chat(n, f"Группа {n}"))
        elif n % 5 == 0:
            result.append(channel(n, n * 7919, f"Channel {n}", username=f"Channel_{n}"))
        else:
            phone = f"7999{n:07}" if n % 3 else None
            username = f"User{n}" if n % 2 else None
            result.append(user(n, -n * 104729, first_name=f"Анна {n}", last_name="Π", phone=phone, username=username))
    return result


# A few values of each kind, so that different entities share them.
ids = st.one_of(
    st.integers(1, 6),
    # IDs of chats and channels outside 1..=9999999999 are treated as marked IDs.
    st.sampled_from([0, -3, 9999999999, 10000000000, 1000000000003, -1000000000003, 2**40, 2**62]),
)
hashes = st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1))
usernames = st.sampled_from(["anna", "Anna", "ANNA", "bob_1", "abc", "gif", "İstanbul", "", "a" * 32])
phones = st.sampled_from(
    # The column has integer affinity: "007" is stored as 7, 20 digits as a float, "888 0000" as
    # text.
    ["79991234567", "+79991234567", "7", "007", "", "888 0000", "1.50", "1e3", "٣٤", "9" * 19, "1" * 20, "0x10", " 7 "]
)
# Texts of TL objects are decoded from UTF-8, so they contain no surrogates.
texts = st.text(st.characters(codec="utf-8"), max_size=8)
names = st.one_of(
    st.sampled_from(
        ["Anna", "anna", "bob_1", "Анна", "李小龍", "A\0B", "79991234567", "x" * 200, "0123456789abcdef01234567"]
    ),
    texts,
)
flags = st.sampled_from([None, None, False, True])
# Nothing that an entity could be found by.
no_usernames = {"usernames": st.sampled_from([None, None, None, [], [types.Username("gif")]])} if HAS_USERNAMES else {}


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


users = st.builds(
    user,
    ids,
    maybe(hashes),
    username=maybe(usernames),
    phone=maybe(phones),
    first_name=maybe(names),
    last_name=maybe(names),
    min=flags,
    is_self=flags,
    **no_usernames,
)
chats = st.builds(chat, ids, names)
channels = st.builds(channel, ids, maybe(hashes), names, username=maybe(usernames), min=flags, **no_usernames)
bare_peers = st.one_of(
    st.builds(types.InputPeerUser, ids, hashes),
    st.builds(types.InputPeerChannel, ids, hashes),
    st.builds(types.InputUser, ids, hashes),
    st.builds(types.InputChannel, ids, hashes),
)
rare = st.one_of(
    st.builds(types.ChannelForbidden, ids, hashes, names),
    st.builds(types.ChatForbidden, ids, names),
    st.builds(types.ChatEmpty, ids),
    st.builds(types.UserEmpty, ids),
    st.builds(types.InputPeerChat, ids),
    st.builds(types.PeerChat, ids),
    st.builds(types.PeerUser, ids),
    st.builds(types.InputPeerUserFromMessage, st.just(types.InputPeerSelf()), st.just(1), ids),
    st.builds(types.InputChannelFromMessage, st.just(types.InputPeerSelf()), st.just(1), ids),
    st.sampled_from([types.InputPeerSelf(), types.InputUserSelf(), types.InputPeerEmpty(), types.InputChannelEmpty()]),
    st.builds(types.InputPhoneContact, ids, phones, names, names),
    st.sampled_from([None, 5, "anna", object(), (1, 2, "anna", None, None)]),
)
if HAS_COMMUNITIES:
    rare |= st.builds(community, ids, maybe(hashes), names, min=flags)
    rare |= st.builds(types.CommunityForbidden, ids, names, hashes)

entities = st.one_of(users, users, channels, chats, bare_peers, rare)
