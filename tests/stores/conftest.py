"""Marks the tests that do not depend on the release of Telethon: most are about servers."""

from pathlib import Path

import pytest

DEPENDING = {"test_event_loop.py", "test_store_client.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and item.path.name not in DEPENDING:
            item.add_marker(pytest.mark.any_release)
