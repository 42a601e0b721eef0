"""How many entities are in memory: `max_entities` of a session, and `set_max_entities` for all."""

from __future__ import annotations

from . import _core

# No more fit into a session.
_MOST = 2**32 - 1


def checked_max_entities(value: int | None) -> int:
    """Returns how many entities may be in memory; 0 for all.

    Raises:
        TypeError: `value` is neither an int nor `None`.
        ValueError: It is less than 1.
    """
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"max_entities must be an int or None, not {type(value).__name__}")
    if value < 1:
        raise ValueError("max_entities must be at least 1; None keeps all entities in memory")
    return min(value, _MOST)


def set_max_entities(max_entities: int | None) -> None:
    """Sets how many entities the sessions of this program keep in memory, all together.

    Applies to sessions with a file or a server that are opened from then on, besides their own
    `max_entities`. Where there are too many, each session gives up the same share of its entities,
    the least recently seen. They stay stored and are looked up there.

    Args:
        max_entities: How many; `None` for all, as at the beginning.

    Raises:
        TypeError: `max_entities` is neither an int nor `None`.
        ValueError: It is less than 1.
    """
    _core.set_max_entities(checked_max_entities(max_entities))


__all__ = ["checked_max_entities", "set_max_entities"]
