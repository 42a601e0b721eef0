"""Changes what `give_number(session, 1)` has stored in `anna.session` to what 2 would have."""

from __future__ import annotations

import sqlite3

file = sqlite3.connect("anna.session", timeout=60)
for table, column in ("entities", "hash"), ("update_state", "pts"), ("sent_files", "hash"):
    assert file.execute(f"update {table} set {column} = 2 where {column} = 1").rowcount == 1
file.commit()
