"""Changes the rows that `add_numbered(session, 1)` stored in `anna.session` to those of 2."""

from __future__ import annotations

import sqlite3

file = sqlite3.connect("anna.session", timeout=60)
for table, column in ("entities", "hash"), ("update_state", "pts"), ("sent_files", "hash"):
    assert file.execute(f"update {table} set {column} = 2 where {column} = 1").rowcount == 1
file.commit()
