"""Who may do what with this dashboard. Looking may be free; what starts, stops, writes or reads a
path never is.

`rockcore app` makes a secret, which its printed link carries and a cookie keeps. A server that was
started in another way has none, and then nobody may act. Every function of app.data that acts asks
`require` first, so that a forged message of a browser meets the same answer as a page.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from hmac import compare_digest
from pathlib import Path

from rockcore.schema import RockError


class Refused(RockError, PermissionError):
    """Who asks may not do this."""


class Right(IntEnum):
    """What a visitor may do; each includes those below it."""

    NOTHING = 0
    LOOK = 1
    ACT = 2


@dataclass(frozen=True)
class Terms:
    """On what terms the dashboard is open: what the command line said.

    `acting`, `looking`: the secrets; without the first nobody may act, without the second everyone
    whom the door lets in may look. `names`: the hosts it answers to beside this machine's own, each
    `NAME` or `NAME:PORT`. `trainings`: how many may run at once. `models`, `prompts`, `sets`,
    `logs`: the folders that a form may pick from.
    """

    port: int = 8501
    acting: str = ""
    looking: str = ""
    names: tuple[str, ...] = ()
    trainings: int = 1
    models: tuple[Path, ...] = ()
    prompts: tuple[Path, ...] = ()
    sets: tuple[Path, ...] = ()
    logs: tuple[Path, ...] = ()

    @property
    def cookie(self) -> str:
        """The name of the cookie: browsers share cookies between the ports of a host."""
        return f"rockcore_{self.port}"

    def right_of(self, secret: str) -> Right:
        """What a secret opens, compared in constant time."""
        given = secret.encode("utf-8", "surrogateescape")
        if self.acting and compare_digest(given, self.acting.encode()):
            return Right.ACT
        if not self.looking or compare_digest(given, self.looking.encode()):
            return Right.LOOK
        return Right.NOTHING

    def right(self, cookies: Mapping[str, str]) -> Right:
        """What a visitor with these cookies may do."""
        return self.right_of(str(cookies.get(self.cookie, "")))


_terms = Terms()


def open_on(terms: Terms) -> None:
    """Set the terms of this server, before it answers."""
    global _terms
    _terms = terms


def terms() -> Terms:
    return _terms


def may_act() -> bool:
    """Whether the visitor whose page is being drawn may start, stop, write and read paths."""
    import streamlit as st  # half a second: the door opens before

    return _terms.right(st.context.cookies) is Right.ACT


def require(what: str) -> None:
    """Raises Refused unless the visitor may act; `what` is done, in words."""
    if not may_act():
        raise Refused(f"{what} was refused", *how_to_act())


def how_to_act() -> tuple[str, str]:
    """Why a visitor without the right may not act, and what gives it."""
    if not _terms.acting:
        return (
            "This dashboard was started without `rockcore app`, so that nobody can prove to be its "
            "owner",
            "Start it with: rockcore app",
        )
    return (
        "This browser may look, and has not shown that it may act",
        "Open the link with ?access=… that the terminal printed when rockcore app started, then "
        "reload this page",
    )


def new_secret() -> str:
    """256 bits that nobody can guess, as letters that a link and a cookie carry."""
    return secrets.token_urlsafe(32)


def check_secret(name: str, secret: str) -> str:
    """A secret that a person has chosen. Raises BadSecret unless a link and a cookie carry it and
    it is long enough to stand against guessing.
    """
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
    if len(secret) < _LEAST_LETTERS or set(secret) - set(letters):
        raise BadSecret(
            f"{name} has {len(secret)} letters"
            + (", not all of them of A-Z a-z 0-9 - _" if set(secret) - set(letters) else ""),
            "It stands in a link and a cookie, and must not be guessed",
            f"Give at least {_LEAST_LETTERS} of A-Z a-z 0-9 - _, or leave it away for a random one",
        )
    return secret


_LEAST_LETTERS = 16


class BadSecret(RockError, ValueError):
    """A secret that would not protect anything, or could not be sent."""
