"""How many cases tests try: `HYPOTHESIS_PROFILE` is `quick`, `default` or `long`."""

from __future__ import annotations

import os

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "default")
