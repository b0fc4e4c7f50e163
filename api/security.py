"""One gate in front of every route, ours and the page's: who may come in, from where, with how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.body_limit import CountedBody, too_large
from api.errors import answer
from api.hosts import SAFE_METHODS, is_allowed_host, is_own_origin
from api.login import Doorkeeper, TooManyFailures, WrongPassword, basic_credentials
from api.sessions import COOKIE

# These answer without login: load balancers have no password, and people have to log in somewhere.
OPEN_PATHS = frozenset({"/healthz", "/login"})
NO_STORE = {"Cache-Control": "no-store"}
POLICY_VIOLATION = 1008  # WebSocket close code; before the handshake the server makes a 403 of it


@dataclass(frozen=True)
class Security:
    """What the gate checks.

    `users` maps names to passwords; empty means no login. Those named in `guests` may not change the server.
    `allowed_hosts` are names besides localhost and plain IP addresses; `*.example.org` stands for any name below
    it. Pages of `cors_origins` may call the API from a browser. `frame_ancestors` are the pages that may show this
    one in a frame, besides itself.
    """

    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    guests: frozenset[str] = frozenset()
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    max_body_bytes: int = 128 * 2**20
    frame_ancestors: tuple[str, ...] = ()


class Gate:
    """ASGI middleware that refuses what must not reach a route. Covers HTTP and WebSocket, and mounted apps.

    The name of the logged-in user is handed on in `scope["state"]["user"]` ("" without login), and whether it is a
    guest in `scope["state"]["is_guest"]`.
    """

    def __init__(self, app: ASGIApp, security: Security, doorkeeper: Doorkeeper) -> None:
        self.app = app
        self.security = security
        self.doorkeeper = doorkeeper
        self.headers = security_headers(security)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on with the user's name, a counted body and the security headers."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        scope = self._without_foreign_proxy_header(scope)
        judgement = self._judge(scope)
        if scope["type"] == "http":
            send = self._with_headers(send)
        if isinstance(judgement, Response):
            await _refuse(judgement, scope, receive, send)
            return
        is_guest = judgement in self.security.guests
        scope["state"] = {**scope.get("state", {}), "user": judgement, "is_guest": is_guest}
        if scope["type"] == "http":
            await self._counted(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = self.security.max_body_bytes
        claimed = Headers(scope=scope).get("content-length", "0")
        if claimed.isascii() and claimed.isdigit() and int(claimed[:20]) > limit:
            await too_large(limit, scope, receive, send)
            return
        body = CountedBody(limit, scope, receive, send)
        await self.app(scope, body.receive, body.send)

    def _judge(self, scope: Scope) -> Response | str:
        """The refusal, or the user's name."""
        headers = Headers(scope=scope)
        refusal = self._host_refusal(headers) or self._origin_refusal(scope, headers)
        if refusal is not None:
            return refusal
        if not self.security.users or scope["path"] in OPEN_PATHS or _is_preflight(scope, headers):
            return ""
        return self._login(scope, headers)

    def _host_refusal(self, headers: Headers) -> Response | None:
        values = headers.getlist("host")
        if len(values) == 1 and is_allowed_host(values[0], self.security.allowed_hosts):
            return None
        shown = ascii(values[0] if values else "")[:100]
        sentence = f"This server does not answer to the name {shown}. Start it with --allowed-host to add one."
        return answer(400, sentence, "ForeignHost")

    def _origin_refusal(self, scope: Scope, headers: Headers) -> Response | None:
        is_safe = scope["type"] == "http" and scope["method"] in SAFE_METHODS
        origin = headers.get("origin")
        if is_safe or origin is None:
            return None
        hosts = headers.getlist("host") + headers.getlist("x-forwarded-host")
        if is_own_origin(origin, hosts, self.security.allowed_hosts, self.security.cors_origins):
            return None
        sentence = (
            f"The page {ascii(origin)[:100]} may not use this server. Start it with --cors-origin to allow it."
        )
        return answer(403, sentence, "ForeignOrigin")

    def _login(self, scope: Scope, headers: Headers) -> Response | str:
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE)
        if cookie is not None and (user := self.doorkeeper.sessions.user(cookie)) is not None:
            return user
        credentials = basic_credentials(headers.get("authorization", ""))
        if credentials is None:
            return _please_log_in(scope, headers, "Please log in.")
        try:
            return self.doorkeeper.check(credentials, client_of(scope))
        except TooManyFailures as error:
            return answer(error.status, str(error), "TooManyFailures", headers={"Retry-After": str(error.wait)})
        except WrongPassword as error:
            return _please_log_in(scope, headers, error.message)

    def _without_foreign_proxy_header(self, scope: Scope) -> Scope:
        """A copy without an X-Forwarded-Host that is not one of our names: Gradio builds its links from it."""
        allowed = self.security.allowed_hosts
        kept = [
            (name, value)
            for name, value in scope["headers"]
            if name != b"x-forwarded-host" or is_allowed_host(value.decode("latin-1"), allowed)
        ]
        return {**scope, "headers": kept}

    def _with_headers(self, send: Send) -> Send:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    present.setdefault(name, value)
            await send(message)

        return send_with_headers


def security_headers(security: Security) -> dict[str, str]:
    """Headers of every answer. They restrict other pages, not what our own may load, so Gradio works."""
    ancestors = " ".join(("'self'", *security.frame_ancestors))
    headers = {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Content-Security-Policy": f"frame-ancestors {ancestors}",
    }
    if not security.cors_origins:
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
    return headers


def _is_preflight(scope: Scope, headers: Headers) -> bool:
    # Browsers send preflights without credentials; the CORS layer behind the gate answers all of them itself.
    return scope.get("method") == "OPTIONS" and "access-control-request-method" in headers and "origin" in headers


def _please_log_in(scope: Scope, headers: Headers, sentence: str) -> Response:
    """People are led to the login page; programs are asked for Basic credentials."""
    if scope["type"] == "http" and scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
        path: str = scope["path"]
        # Relative, so that it holds below a reverse proxy's prefix too.
        target = "../" * (path.count("/") - 1) + "login"
        return Response(status_code=303, headers={"Location": f"{target}?next={quote(path)}", **NO_STORE})
    # In a page's own requests the challenge would open the browser's password box over the page.
    is_script = headers.get("sec-fetch-mode", "navigate") != "navigate"
    challenge = {} if is_script else {"WWW-Authenticate": 'Basic realm="Easel", charset="UTF-8"'}
    return answer(401, sentence, "NotLoggedIn", headers=challenge)


def client_of(scope: Scope) -> str:
    """The caller's address."""
    return str((scope.get("client") or ("unknown", 0))[0])


async def _refuse(refusal: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": ""})
        return
    await refusal(scope, receive, send)
