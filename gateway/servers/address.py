"""Addresses as they are written in URLs and messages."""

from __future__ import annotations

import ipaddress


def authority(host: str, port: int) -> str:
    """Host and port in one; an IPv6 address in brackets, for its own colons."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def local_url(host: str, port: int) -> str:
    """Where a client on this machine calls a gateway that listens on this host."""
    return f"ws://{authority(_reached_at(host), port)}/"


def _reached_at(host: str) -> str:
    if not host:
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    # asyncio listens on "::" by IPv6 alone.
    return "127.0.0.1" if address.version == 4 else "::1"
