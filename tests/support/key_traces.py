"""Finds traces of a key in a text."""

from __future__ import annotations

import base64


def traces(key: bytes) -> list[str]:
    """Returns pieces of the key in the usual formats for bytes. A text that contains any of them
    reveals the key.
    """
    found = []
    for at in range(0, 256 - 24, 8):
        piece = key[at : at + 24]
        found += [piece.hex(), repr(piece)[2:-1], str(list(piece))[1:-1]]
        found.append(base64.urlsafe_b64encode(key[at - at % 3 :][:24]).decode()[:16])
    return found
