"""Addresses to listen at: whether others than this machine can reach them."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Return True if only this machine can reach a server that listens at the address.

    Names other than ``localhost`` are not resolved: what they stand for is known only when the server listens.
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
