"""A request of the ASGI server as the door looks at it: its host, cookies, and the secret of a
link.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import MutableMapping
from functools import cached_property
from typing import Any
from urllib.parse import unquote

Scope = MutableMapping[str, Any]

ACCESS = "access"  # the name in a link; `token` there is a token type
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::(\d{1,5}))?")


def is_host(text: str) -> bool:
    """Whether a browser could ask for a server by this name, with or without a port."""
    return HOST.fullmatch(text.lower()) is not None


def name_of(host: str) -> str:
    """The name or address in a host, without port and brackets."""
    match = HOST.fullmatch(host)
    return match[1].strip("[]") if match else host


class Request:
    """What the door looks at in a request of the ASGI server."""

    def __init__(self, scope: Scope):
        self.scope = scope
        self.is_socket = scope["type"] == "websocket"
        self.method = "GET" if self.is_socket else scope["method"]
        self.path: str = scope["path"]
        self.query: str = scope.get("query_string", b"").decode("latin-1")

    def every(self, name: str) -> list[str]:
        """All values of a header, as sent."""
        wanted = name.encode()
        return [v.decode("latin-1") for n, v in self.scope["headers"] if n.lower() == wanted]

    def first(self, name: str) -> str:
        return next(iter(self.every(name)), "")

    @cached_property
    def host(self) -> str:
        """The one Host, in small letters; "" where there is none or more."""
        hosts = self.every("host")
        return hosts[0].strip().lower() if len(hosts) == 1 else ""

    @property
    def came_in_at(self) -> str:
        """The address of this machine that the connection reached, as a Host would name it."""
        return _as_host((self.scope.get("server") or ("",))[0] or "")

    @cached_property
    def cookies(self) -> dict[str, str]:
        """By name, as they were sent. Libraries undo quotes, in a time that grows with the square
        of what is in them: 50 kB stopped the server for 16 s. Ours is never quoted.
        """
        given = [one.partition("=") for line in self.every("cookie") for one in line.split(";")]
        return {name.strip(): value.strip() for name, _, value in given}

    def with_one_cookie(self, name: str) -> Scope:
        """What the application gets: no cookie but this one, so that it does not take the others,
        of whatever server of this host, apart.
        """
        headers = [(n, v) for n, v in self.scope["headers"] if n.lower() != b"cookie"]
        value = self.cookies.get(name, "")
        if value and not value.startswith('"'):
            headers.append((b"cookie", f"{name}={value}".encode("latin-1")))
        return {**self.scope, "headers": headers}

    @property
    def secret(self) -> str | None:
        """What the link gives as access; None where it gives nothing."""
        given = [p for p in self.query.split("&") if p.split("=")[0] == ACCESS]
        return unquote(given[0].partition("=")[2]) if given else None

    @property
    def address_without_secret(self) -> str:
        """The path and query to go on with: on this host whatever the path begins with."""
        raw = self.scope.get("raw_path") or self.path.encode()
        path = "/" + raw.decode("latin-1").partition("?")[0].lstrip("/\\")
        rest = "&".join(p for p in self.query.split("&") if p.split("=")[0] != ACCESS)
        return path + ("?" + rest if rest else "")


def _as_host(address: str) -> str:
    """An IP address as a Host names it; what is none stays as it is."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address.lower()
    mapped = getattr(ip, "ipv4_mapped", None)
    return str(mapped or ip) if mapped or ip.version == 4 else f"[{ip}]"
