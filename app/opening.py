"""On what terms `rockcore app` opens the dashboard, and what it prints about them."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app import access
from app.access import Terms
from app.request import ACCESS, is_host, name_of
from rockcore.schema import RockError

ACTING, LOOKING = "ROCKCORE_TOKEN", "ROCKCORE_VIEW_TOKEN"  # where a person may choose a secret
SHELVES = ("models", "prompts", "sets", "logs")  # fields of Terms, and flags of the command line
EVERYWHERE = ("0.0.0.0", "::")  # all addresses of this machine
_WAITING = 2048  # connections that the system takes before the server does: uvicorn's number


class CannotOpen(RockError, ValueError):
    """The dashboard cannot be opened like this."""


def terms_of(wanted: Mapping[str, Any]) -> Terms:
    """The terms that the fields of `rockcore app` ask for. The secrets of the environment are taken
    out of it: a training started from a page has no use for them.

    Raises CannotOpen for a host, port or number that cannot be, BadSecret for a secret.
    """
    _refuse_unusable(wanted)
    given = {name: os.environ.pop(name, "") for name in (ACTING, LOOKING)}
    secrets = {
        name: access.check_secret(name, value) if value else access.new_secret()
        for name, value in given.items()
    }
    if secrets[ACTING] == secrets[LOOKING]:
        raise access.BadSecret(
            f"{ACTING} and {LOOKING} are the same",
            "Whoever may look could then act",
            "Choose two, or leave them away for random ones",
        )
    open_to_others = not is_loopback(wanted["host"])
    names = [name.lower() for name in wanted["allow_host"]]
    proxied = not all(is_loopback(name_of(name)) for name in names)  # which lets others in
    if open_to_others:
        machine = socket.gethostname().lower()
        names += [machine, f"{machine}.local"]
        names += [] if wanted["host"] in EVERYWHERE else [address_host(wanted["host"])]
    return Terms(
        port=wanted["port"],
        acting=secrets[ACTING],
        looking=secrets[LOOKING] if open_to_others or proxied or wanted["private"] else "",
        names=tuple(dict.fromkeys(names)),
        trainings=wanted["trainings"],
        **{kind: tuple(map(Path, wanted[kind])) for kind in SHELVES},
    )


def _refuse_unusable(wanted: Mapping[str, Any]) -> None:
    if not 0 <= wanted["port"] < 65536:
        raise CannotOpen(
            f"--port {wanted['port']}", "Ports go from 0 to 65535", "Give one from 1024 on"
        )
    if wanted["trainings"] < 1:
        raise CannotOpen(
            f"--trainings {wanted['trainings']}",
            "So many run at once, and one has to for any to be trained",
            "Give --trainings 1 or more",
        )
    for name in wanted["allow_host"]:
        if not is_host(name):
            raise CannotOpen(
                f"--allow-host {ascii(name)[:80]}",
                "It is a name that a browser shows in an address, without http:// and path",
                "Give a name such as rocks.example.org, with :PORT where the browser shows one",
            )


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections there; with port 0 at one that is free. Raises CannotOpen
    where that fails.
    """
    listener = None
    try:
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        if os.name != "nt":  # there it would take a port that another program listens on
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ":" in host:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((host, port))
        listener.listen(_WAITING)
        return listener
    except (OSError, UnicodeError) as e:  # UnicodeError: of a name that can be none
        if listener is not None:
            listener.close()
        where = f"--host {ascii(host)[1:-1][:80]} --port {port}"
        number = getattr(e, "errno", None)
        if number == errno.EADDRINUSE:
            raise CannotOpen(
                f"{where} is taken",
                "Another program listens there, perhaps a dashboard started before",
                "End it, or give another --port",
            ) from e
        if number == errno.EACCES:
            raise CannotOpen(
                f"{where} is not given to you",
                "On most systems ports below 1024 belong to the administrator",
                "Give one from 1024 on",
            ) from e
        raise CannotOpen(
            f"{where}: nothing can listen there ({e})",
            "It is no address or name of this machine",
            "Give 127.0.0.1 for this machine alone, 0.0.0.0 for all networks that it is in, or one "
            "of its addresses",
        ) from e


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches a server that listens there."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address.lower() == "localhost"


def address_of(host: str, port: int) -> str:
    """Where a browser finds the server; of all addresses, by the name of this machine."""
    return f"http://{socket.gethostname() if host in EVERYWHERE else address_host(host)}:{port}/"


def address_host(host: str) -> str:
    """An address or name as it stands in a link."""
    return f"[{host}]" if ":" in host else host.lower()


def link_to_act(host: str, terms: Terms) -> str:
    return f"{address_of(host, terms.port)}?{ACCESS}={terms.acting}"


def link_to_look(host: str, terms: Terms) -> str:
    address = address_of(host, terms.port)
    return f"{address}?{ACCESS}={terms.looking}" if terms.looking else address


def announcement(host: str, terms: Terms) -> str:
    """What the terminal says once the server answers."""
    links = f"""
  Rock Token Explorer

  to look:          {link_to_look(host, terms)}
  also to act:      {link_to_act(host, terms)}

  To act is to start and stop trainings and imports, to save rules, and to read the models,
  prompts and logs in the named folders. Keep that link to yourself: whoever has it can do all
  this as you."""
    if is_loopback(host):
        who = "only with one of the links" if terms.looking else "anyone on it may look"
        names = " or ".join(terms.names)
        by_name = f"\n  For who comes by {names}, the links begin with that name." if names else ""
        return f"{links}\n  Only this machine is answered, and {who}.{by_name}\n"
    return f"""{links}

  This dashboard is OPEN TO THE NETWORK at {host}. Who has the first link can read every run,
  prompt and text that it shows; who has the second can also act. Nothing is encrypted: who listens
  on the way can read all of it, the links included, and then use them. Where you do not trust the
  network, put TLS in front of it (a proxy on this machine, with --allow-host and its name), or
  keep to 127.0.0.1 and reach it through ssh.
"""


def left_waiting(folders: list[Path]) -> str:
    """What the terminal says at the end of trainings whose turn never came; "" for none."""
    names = ", ".join(ascii(folder.name)[1:-1] for folder in folders)
    return f"  Not started, for they were still waiting: {names}" if names else ""
