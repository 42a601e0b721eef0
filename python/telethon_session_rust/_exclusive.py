"""`exclusive=True` by the key of a login."""

from __future__ import annotations

import hashlib

from ._core import KeyLock


class KeyHolder:
    """Keeps the key of one session locked."""

    def __init__(self) -> None:
        self._lock: KeyLock | None = None
        # Of the key that is locked. The key itself is not kept.
        self._digest = b""

    def hold(self, key: bytes) -> None:
        """Locks a key instead of the one before; none if it is empty.

        Raises:
            SessionInUseError: It is locked.
            SessionUnavailableError: There is no folder for the lock.
        """
        digest = hashlib.sha256(key).digest()
        if self._lock is not None and digest == self._digest:
            return
        lock = KeyLock(key) if key else None
        self.release()
        self._lock, self._digest = lock, digest

    def release(self) -> None:
        """Unlocks the key."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()
