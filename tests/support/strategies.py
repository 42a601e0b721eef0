"""Hypothesis strategies for arguments of sessions other than entities, and a comparable form of
results.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from hypothesis import strategies as st
from telethon.crypto import AuthKey
from telethon.tl import TLObject, types

states = st.builds(
    types.updates.State,
    *(st.integers(-1, 2**31) for _ in range(2)),
    date=st.one_of(
        st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(timezone.utc)),
        st.just(datetime(2024, 2, 29, tzinfo=timezone.utc)),
    ),
    seq=st.integers(0, 2**31),
    unread_count=st.just(0),
)
auth_keys = st.none() | st.builds(AuthKey, st.binary(min_size=256, max_size=256) | st.sampled_from([b"", None]))
channel_ids = st.integers(0, 4) | st.just(2**40)
md5_digests = st.sampled_from([b"1" * 16, b"2" * 16, b""])
file_classes = st.sampled_from([types.InputDocument, types.InputPhoto])


def comparable(answer: Any) -> Any:
    """Returns a result in a form that can be compared."""
    if isinstance(answer, TLObject):
        return type(answer), answer.to_dict()
    if isinstance(answer, AuthKey):
        return AuthKey, answer.key, answer.key_id
    if isinstance(answer, list):
        return [comparable(item) for item in answer]
    return tuple(map(comparable, answer)) if isinstance(answer, tuple) else answer
