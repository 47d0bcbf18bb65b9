"""The door of the dashboard's server: whom it answers, what it tells browsers, who gets a cookie.

Every request comes through here, HTTP and websocket, before Streamlit sees it. Refused are other
names of this machine (a page whose name resolves to it would be "the same origin"), other origins,
frames, and all methods but GET and HEAD, for the pages only read; where looking needs a secret,
also those without one.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

from app import policy
from app.access import Right, Terms
from app.request import HOST, Request, Scope

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_HEALTH = "/_stcore/health"  # says "ok" and nothing else: for those who watch over the server
_HAS_PORT = re.compile(r":\d+$")


class Refusal(NamedTuple):
    """The answer to a request that is not let in: a status and a sentence."""

    status: int
    why: str


class Door:
    """Stands before an ASGI application. `inline`: the scripts inside its page."""

    def __init__(self, application: Application, terms: Terms, inline: tuple[str, ...] = ()):
        self.application, self.terms, self.inline = application, terms, inline

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.application(scope, receive, send)
            return
        request = Request(scope)
        refusal = self.refusal(request)
        if refusal is not None:
            await self._answer(request, send, refusal.status, refusal.why, [])
        elif request.secret is not None and not request.is_socket:
            await self._let_in(request, send)
        else:
            tell = send if request.is_socket else self._with_headers(request, send)
            await self.application(request.with_one_cookie(self.terms.cookie), receive, tell)

    def refusal(self, request: Request) -> Refusal | None:
        """Why a request is not let in; None where it is."""
        for look in (self._wrong_host, self._wrong_origin, self._wrong_method, self._no_secret):
            if (refusal := look(request)) is not None:
                return refusal
        return None

    def _wrong_host(self, request: Request) -> Refusal | None:
        if not request.path.startswith("/"):
            return Refusal(400, "A request names a path that begins with a slash.")
        if not request.host:
            return Refusal(400, "A request names the one host that it is for.")
        if self._answers_to(request):
            return None
        return Refusal(
            421,
            f"This dashboard was asked for as {ascii(request.host)[:80]}, which is not a name it "
            "answers to: a web page elsewhere could give this machine such a name, and then use "
            "the dashboard. Open the address that the terminal printed, or start rockcore app with "
            "--allow-host and that name.",
        )

    def _answers_to(self, request: Request) -> bool:
        match = HOST.fullmatch(request.host)
        if match is None:
            return False
        name, port = match.groups()
        if (port or "80") == str(self.terms.port) and (
            name in LOOPBACK or name == request.came_in_at
        ):
            return True
        return self._was_allowed(request.host)

    def _was_allowed(self, host: str) -> bool:
        """Whether the command line names the host: with a port that one, else this server's, or
        none as behind a proxy.
        """
        return any(
            host == name if _HAS_PORT.search(name) else host in (name, self._at_port(name))
            for name in self.terms.names
        )

    def _at_port(self, name: str) -> str:
        return f"{name}:{self.terms.port}"

    def _wrong_origin(self, request: Request) -> Refusal | None:
        own = {f"http://{request.host}"}
        if self._was_allowed(request.host):
            own.add(f"https://{request.host}")  # TLS ends before this server
        origins = request.every("origin")
        if len(origins) > 1 or not own.issuperset(o.lower() for o in origins):
            found = f"A page of {ascii(', '.join(origins))[:80]}"
        elif request.first("sec-fetch-site") in ("cross-site", "same-site") and not (
            request.first("sec-fetch-mode") == "navigate"
            and request.first("sec-fetch-dest") == "document"
        ):
            found = "A page of another site or port"
        else:
            return None
        return Refusal(403, f"{found} asked for this. Only the dashboard's own pages may.")

    def _wrong_method(self, request: Request) -> Refusal | None:
        if request.method in ("GET", "HEAD"):
            return None
        return Refusal(405, "This server only answers GET and HEAD: its pages read.")

    def _no_secret(self, request: Request) -> Refusal | None:
        if request.secret is not None and not request.is_socket:
            if self.terms.right_of(request.secret) > self._free:
                return None
            return Refusal(
                403,
                "The secret of this link (?access=…) is not that of the running dashboard, which "
                "makes a new one whenever it starts. Open the link that the terminal printed last.",
            )
        if self.terms.right(request.cookies) > Right.NOTHING or request.path == _HEALTH:
            return None
        return Refusal(
            403,
            "Looking at this dashboard needs the link with ?access=… that rockcore app printed in "
            "its terminal. Ask who started it for the link.",
        )

    @property
    def _free(self) -> Right:
        """What everyone may whom the door lets in."""
        return Right.NOTHING if self.terms.looking else Right.LOOK

    async def _let_in(self, request: Request, send: Send) -> None:
        """Put the secret of the link into a cookie, and lead to the same page without it."""
        terms, secret = self.terms, request.secret or ""
        # Strict would hide the cookie from a first page reached by a link from elsewhere: no harm
        # where looking is free. Lax shows it to such a page, which only reads.
        same_site = "Lax" if terms.looking else "Strict"
        cookie = f"{terms.cookie}={secret}; Path=/; HttpOnly; SameSite={same_site}"
        headers = [(b"location", request.address_without_secret.encode("latin-1"))]
        if terms.right_of(secret) >= terms.right(request.cookies):
            headers.append((b"set-cookie", cookie.encode()))
        await self._answer(request, send, 303, "Welcome.", headers)

    async def _answer(
        self,
        request: Request,
        send: Send,
        status: int,
        text: str,
        headers: policy.Headers,
    ) -> None:
        """One plain sentence."""
        kind = "http.response"
        if request.is_socket:
            kind = "websocket.http.response"
            if kind not in (request.scope.get("extensions") or {}):
                await send({"type": "websocket.close", "code": 1008, "reason": ""})
                return
        body = f"{text}\n".encode()
        plain = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        all_headers = [*plain, *headers, *self._headers(request)]
        await send({"type": f"{kind}.start", "status": status, "headers": all_headers})
        await send({"type": f"{kind}.body", "body": b"" if request.method == "HEAD" else body})

    def _with_headers(self, request: Request, send: Send) -> Send:
        """`send` for an answer that also carries what the door tells browsers."""
        ours = self._headers(request)
        names = {name for name, _ in ours}

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                theirs = [(n, v) for n, v in message.get("headers", ()) if n.lower() not in names]
                message = {**message, "headers": [*theirs, *ours]}
            await send(message)

        return tell

    def _headers(self, request: Request) -> policy.Headers:
        return policy.headers(request.host if self._answers_to(request) else "", self.inline)
