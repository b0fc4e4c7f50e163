"""Which names this server answers to, and which web pages may change something on it.

A page on the internet can point its own name at 127.0.0.1 (DNS rebinding) or simply post a form to it; the first
is stopped by the Host check, the second by the Origin check.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def host_name(value: str) -> str:
    """The name in a Host header, lower case, without port, brackets and final dot; "" if it is not one."""
    try:
        parts = urlsplit(f"//{value.strip()}")
        if parts.username is not None or parts.path or parts.query or parts.fragment:
            return ""
        _ = parts.port
    except ValueError:
        return ""
    return (parts.hostname or "").rstrip(".")


def is_address(name: str) -> bool:
    """True for a plain IP address. Rebinding needs a name, so addresses need no entry in the list."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_allowed_host(value: str, allowed: Sequence[str]) -> bool:
    """True if a Host header names this server: an IP address, a loopback name or one of `allowed`.

    An entry may be `*.example.org` (any name below it) or `*` (no check at all).
    """
    name = host_name(value)
    if not name:
        return False
    return is_address(name) or any(_matches(name, entry) for entry in (*LOOPBACK_NAMES, *allowed))


def _matches(name: str, entry: str) -> bool:
    if entry == "*":
        return True
    pattern = entry.lower()
    if pattern.startswith("*."):
        return name.endswith(pattern[1:]) and len(name) > len(pattern) - 1
    return name == (host_name(pattern) or pattern.strip("[]"))


def is_own_origin(origin: str, hosts: Sequence[str], allowed: Sequence[str], cors_origins: Sequence[str]) -> bool:
    """True if a page of `origin` may change something here.

    That is: a page served by this server (`hosts` are the values of Host and, behind a proxy, X-Forwarded-Host),
    by a name the operator listed (a proxy may rewrite Host), or one of `cors_origins`. `null` is nobody's.
    """
    if origin in cors_origins or "*" in cors_origins:
        return True
    try:
        parts = urlsplit(origin)
        authority = parts.netloc.lower()
        _ = parts.port
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not authority:
        return False
    if _with_port(authority, parts.scheme) in {_with_port(host.lower(), parts.scheme) for host in hosts}:
        return True
    name = host_name(authority)
    listed = [entry for entry in allowed if entry != "*" and not _is_local(entry)]
    return any(_matches(name, entry) for entry in listed)


def _is_local(entry: str) -> bool:
    # Another program on the same machine is another origin: for local names the port must agree.
    name = host_name(entry) or entry
    return name in LOOPBACK_NAMES or is_address(name)


def _with_port(authority: str, scheme: str) -> str:
    parts = urlsplit(f"//{authority}")
    try:
        port = parts.port
    except ValueError:
        return authority
    return f"{parts.hostname}:{port or (443 if scheme == 'https' else 80)}"
