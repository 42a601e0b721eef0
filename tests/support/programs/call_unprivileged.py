"""Drops root privileges, runs the command line with each list of arguments in the JSON argument,
and prints the results as JSON.
"""

from __future__ import annotations

import json
import os
import sys

from support.cli import call
from support.unprivileged import NOBODY

# Loads all modules first, because the other user may not be able to read Python's folder.
for command in ("info", "check", "entities", "export"):
    assert call(command, "anna").code == 0
if os.getuid() == 0:
    os.setgid(NOBODY)
    os.setuid(NOBODY)
print(json.dumps([vars(call(*words)) for words in json.loads(sys.argv[1])]))
