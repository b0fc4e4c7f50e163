"""The login page: for people; programs send Basic credentials instead."""

from __future__ import annotations

import html
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from api.login import Credentials, Doorkeeper, TooManyFailures, WrongPassword
from api.security import NO_STORE, Security, client_of
from api.sessions import COOKIE, LIFETIME

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Easel</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="dark light">
<style>
:root {{ font: 16px/1.5 system-ui, sans-serif; }}
body {{ display: grid; place-items: center; min-height: 100vh; margin: 0; }}
form {{ display: grid; gap: 1rem; width: min(20rem, 90vw); }}
h1 {{ margin: 0; font-size: 1.5rem; }}
label {{ display: grid; gap: .25rem; }}
input, button {{ font: inherit; padding: .6rem .8rem; border-radius: .5rem; border: 1px solid #8888; }}
button {{ background: #4f46e5; color: white; border: 0; cursor: pointer; }}
[role=alert] {{ margin: 0; color: #e5484d; }}
</style></head>
<body><form method="post"><h1>Easel</h1>{trouble}
<label>Name <input name="name" autocomplete="username" required autofocus></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<input type="hidden" name="next" value="{target}"><button>Log in</button></form></body></html>"""


def router() -> APIRouter:
    """`/login` and `/logout`."""
    routes = APIRouter(tags=["server"])
    add = routes.add_api_route
    add("/login", show, methods=["GET"], response_class=HTMLResponse, summary="Login page")
    add("/login", log_in, methods=["POST"], response_class=RedirectResponse, status_code=303, summary="Log in")
    add("/logout", log_out, methods=["POST"], response_class=RedirectResponse, status_code=303, summary="Log out")
    return routes


async def show(request: Request, next: str = "/") -> Response:
    """The form; leads on at once where nobody has to log in."""
    security: Security = request.app.state.security
    return _page(next) if security.users else RedirectResponse(_inside(next), 303, headers=NO_STORE)


async def log_in(
    request: Request,
    name: Annotated[str, Form(max_length=1000)] = "",
    password: Annotated[str, Form(max_length=1000)] = "",
    next: Annotated[str, Form(max_length=2000)] = "/",
) -> Response:
    """Begins a session and leads to where the person wanted to go."""
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    try:
        user = doorkeeper.check(Credentials(name, password), client_of(request.scope))
    except (WrongPassword, TooManyFailures) as error:
        page = _page(next, str(error), error.status)
        if isinstance(error, TooManyFailures):
            page.headers["Retry-After"] = str(error.wait)
        return page
    answer = RedirectResponse(_inside(next), 303, headers=NO_STORE)
    _set_cookie(request, answer, doorkeeper.sessions.begin(user), LIFETIME)
    return answer


async def log_out(request: Request) -> RedirectResponse:
    """Ends the session, also for whoever may have copied its cookie."""
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    doorkeeper.sessions.end(request.cookies.get(COOKIE, ""))
    answer = RedirectResponse("login", 303, headers=NO_STORE)
    _set_cookie(request, answer, "", 0)
    return answer


def _page(target: str, trouble: str = "", status: int = 200) -> HTMLResponse:
    shown = f'<p role="alert">{html.escape(trouble)}</p>' if trouble else ""
    text = PAGE.format(trouble=shown, target=html.escape(target[:2000]))
    return HTMLResponse(text, status, headers=NO_STORE)


def _inside(target: str) -> str:
    """The address to go on to, relative to the login page: never another server's."""
    path = target.lstrip("/\\")
    is_plain = path.isprintable() and ":" not in path and "\\" not in path
    return f"./{path}" if is_plain else "./"


def _set_cookie(request: Request, answer: Response, token: str, lifetime: int) -> None:
    security: Security = request.app.state.security
    is_secure = request.url.scheme == "https"
    # Inside a frame of another site only a cookie for all sites is sent; the Origin check still stands.
    is_framed = is_secure and bool(security.frame_ancestors)
    answer.set_cookie(
        COOKIE,
        token,
        max_age=lifetime,
        httponly=True,
        secure=is_secure,
        samesite="none" if is_framed else "lax",
        partitioned=False,
    )
