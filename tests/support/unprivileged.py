"""A user to whom modes of files matter, as they do not to root."""

from __future__ import annotations

NOBODY = 65534
