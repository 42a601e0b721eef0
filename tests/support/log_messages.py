"""Log messages of the package."""

from __future__ import annotations

import pytest


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "telethon_session_rust"]
