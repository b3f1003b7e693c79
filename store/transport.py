"""Tells whether a secret may be sent to an address."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_private(url: str) -> bool:
    """True where nobody on the way reads what is sent to ``url``: it is encrypted, or ends on this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" or host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a name, which may lead anywhere, even one that begins with 127
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
