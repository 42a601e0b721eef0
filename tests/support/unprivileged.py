"""A user for whom file modes apply, unlike root."""

from __future__ import annotations

NOBODY = 65534
