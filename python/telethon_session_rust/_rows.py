"""The set that a session in memory has as its `_entities`."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from ._core import MemoryCore

EntityRow: TypeAlias = tuple[int, int | None, str | None, str | None, str | None]
"""Marked ID, access hash, username, phone, name."""

_EXACT = {int, str, type(None)}


class EntityRows(set[EntityRow]):
    """The rows of a session's entities, `(marked ID, access hash, username, phone, name)`, as a
    set.

    Holds the rows as they are when `session._entities` is read. To see what the session receives
    later, read `session._entities` again. Changes to the set change the session too, in time linear
    in the change. Of several rows of one entity, the session keeps the last. After
    `session._entities = ...` an older set is detached from the session.

    Operators and `copy()` return plain sets.
    """

    __slots__ = ("_replacements", "_revision", "_session")

    def __init__(self, session: MemoryCore) -> None:
        super().__init__()
        self._session = weakref.ref(session)
        self._replacements = session._replacements()
        # The revision of the session at which these were its rows; `None` if that cannot be known.
        self._revision: int | None = session._revision()
        scan = session._scan(None, tuple)
        while rows := scan._undated_slice():
            super().update(rows)
        if session._revision() != self._revision:
            # Another thread changed rows meanwhile, so some of these may be stale.
            self._revision = None

    def _owner(self) -> MemoryCore | None:
        """Returns the session whose rows these are, unless it is gone or its rows have been
        replaced.
        """
        session = self._session()
        return session if session is not None and session._replacements() == self._replacements else None

    def _change(self, out: Iterable[Any], put: Iterable[Any] = ()) -> None:
        """Removes rows from the session and from this set, and adds others."""
        out = out if isinstance(out, (set, dict)) else dict.fromkeys(out)
        put = put if isinstance(put, (set, dict)) else dict.fromkeys(put)
        session = self._owner()
        if session is None:
            super().difference_update(out)
            super().update(put)
            return
        # To a set, `(1.0, ...)` equals `(1, ...)`. The session has the row that is in this set.
        if odd := {row for row in out if isinstance(row, tuple) and not _EXACT.issuperset(map(type, row))}:
            out = [*(set(out) - odd), *(row for row in self if row in odd)]
        revisions, gone, come = session._exchange(out, put)
        super().difference_update(out)
        super().difference_update(gone)
        super().update(come)
        if revisions is not None and revisions[0] == self._revision:
            self._revision = revisions[1]
            session._keep_set(self)

    def add(self, row: EntityRow, /) -> None:
        self._change((), (row,))

    def update(self, *others: Iterable[EntityRow]) -> None:
        self._change((), dict.fromkeys(chain(*others)))

    def discard(self, row: Any, /) -> None:
        # As in a plain set, a set stands for a frozen one here.
        self._change((frozenset(row) if isinstance(row, set) else row,))

    def remove(self, row: Any, /) -> None:
        if row not in self:
            raise KeyError(row)
        self.discard(row)

    def pop(self) -> EntityRow:
        row = super().pop()
        self._change((row,))
        return row

    def clear(self) -> None:
        session = self._owner()
        super().clear()
        if session is not None:
            self._revision = session._clear()
            session._keep_set(self)

    def difference_update(self, *others: Iterable[Any]) -> None:
        self._change(dict.fromkeys(chain(*others)))

    def intersection_update(self, *others: Iterable[Any]) -> None:
        self._change(self.difference(self.intersection(*others)))

    def symmetric_difference_update(self, other: Iterable[EntityRow], /) -> None:
        rows = dict.fromkeys(other)
        self._change(self.intersection(rows), [row for row in rows if row not in self])

    def __ior__(self, other: Any, /) -> Any:
        if not _is_set(other):
            return NotImplemented
        self.update(other)
        return self

    def __isub__(self, other: Any, /) -> Any:
        if not _is_set(other):
            return NotImplemented
        self.difference_update(other)
        return self

    def __iand__(self, other: Any, /) -> Any:
        if not _is_set(other):
            return NotImplemented
        self.intersection_update(other)
        return self

    def __ixor__(self, other: Any, /) -> Any:
        if not _is_set(other):
            return NotImplemented
        self.symmetric_difference_update(other)
        return self

    def copy(self) -> set[EntityRow]:
        return set(self)

    def union(self, *others: Iterable[Any]) -> set[Any]:
        return set(self).union(*others)

    def intersection(self, *others: Iterable[Any]) -> set[Any]:
        return _plain(super().intersection(*others))

    def difference(self, *others: Iterable[Any]) -> set[EntityRow]:
        return _plain(super().difference(*others))

    def symmetric_difference(self, other: Iterable[Any], /) -> set[Any]:
        return set(self).symmetric_difference(other)

    def __or__(self, other: Any, /) -> Any:
        return self.union(other) if _is_set(other) else NotImplemented

    def __and__(self, other: Any, /) -> Any:
        return self.intersection(other) if _is_set(other) else NotImplemented

    def __sub__(self, other: Any, /) -> Any:
        return self.difference(other) if _is_set(other) else NotImplemented

    def __xor__(self, other: Any, /) -> Any:
        return self.symmetric_difference(other) if _is_set(other) else NotImplemented

    # Called first if the other operand is a plain set, because this is a subclass.
    def __ror__(self, other: Any, /) -> Any:
        return other.union(self) if _is_set(other) else NotImplemented

    def __rand__(self, other: Any, /) -> Any:
        return other.intersection(self) if _is_set(other) else NotImplemented

    def __rsub__(self, other: Any, /) -> Any:
        return other.difference(self) if _is_set(other) else NotImplemented

    def __rxor__(self, other: Any, /) -> Any:
        return other.symmetric_difference(self) if _is_set(other) else NotImplemented

    def __reduce__(self) -> tuple[Any, ...]:
        return set, (list(self),)

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> set[EntityRow]:
        # Rows hold only numbers and texts.
        return set(self)

    def __repr__(self) -> str:
        return repr(set(self))


def _is_set(other: Any) -> bool:
    return isinstance(other, (set, frozenset))


def _plain(rows: set[Any]) -> set[Any]:
    return rows if type(rows) is set else set(rows)


def rows_of(session: MemoryCore) -> EntityRows:
    """Returns the rows of a session in memory as they are now: the set that was kept if nothing has
    changed since.
    """
    kept: EntityRows | None = session._kept_set()
    if kept is not None and kept._replacements == session._replacements() and kept._revision == session._revision():
        return kept
    rows = EntityRows(session)
    if rows._revision is not None:
        session._keep_set(rows)
    return rows
