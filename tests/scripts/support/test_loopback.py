"""Addresses that only this machine can reach."""

from __future__ import annotations

import pytest

from scripts.support.loopback import is_loopback


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),  # noqa: S104 (nothing listens)
        ("::", False),
        ("[::]", False),
        ("192.0.2.7", False),
        ("localhost.example", False),
        ("box.example", False),
        ("", False),
    ],
)
def test_addresses(host: str, found: bool) -> None:
    """Names other than localhost are not resolved."""
    assert is_loopback(host) == found
