"""With INSTALLED_WHEEL, the tests import the installed wheel and not the checkout."""

from __future__ import annotations

import os
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

import telethon_session_rust
from telethon_session_rust import _core


@pytest.mark.skipif("INSTALLED_WHEEL" not in os.environ, reason="tests the checkout; make test-releases tests a wheel")
def test_the_installed_wheel_is_tested() -> None:
    for module in (telethon_session_rust, _core):
        assert Path(str(module.__file__)).is_relative_to(sys.prefix)
    recorded = distribution("telethon-session-rust").files or []
    assert Path(str(_core.__file__)) in [file.locate() for file in recorded]
