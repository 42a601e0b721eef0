"""Cargo.lock: one TLS library with one implementation of cryptography, and nothing of the system's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.any_release

LOCK = (Path(__file__).parents[2] / "Cargo.lock").read_text("utf-8")
CRATES = re.findall(r'^name = "(.+)"$', LOCK, re.MULTILINE)


def test_tls_is_rustls_with_ring() -> None:
    assert CRATES.count("rustls") == CRATES.count("ring") == 1
    assert [name for name in CRATES if re.match(r"aws-lc|openssl(-sys)?$|native-tls", name)] == []


def test_no_crate_with_a_known_vulnerability_that_is_not_fixed() -> None:
    # RUSTSEC-2023-0071.
    assert "rsa" not in CRATES
