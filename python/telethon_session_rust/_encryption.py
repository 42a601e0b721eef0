"""The option `encryption_key`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

_Key: TypeAlias = bytes | bytearray | memoryview

# One key of 32 bytes, or several: the first one encrypts, and all of them decrypt.
EncryptionKey: TypeAlias = _Key | Sequence[_Key]
