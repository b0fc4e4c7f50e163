"""How the page is served: dark by default without a flash, and our scripts and styles."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from ui import assets

THEME_COOKIE = "easel-theme"


class ThemeRedirect:
    """Sends `GET /` to `/?__theme=dark` (or what the cookie or the preferences say).

    Gradio picks the theme from the query; a script in the page would come too late and the page would flash.
    """

    def __init__(self, app: ASGIApp, theme: Callable[[], str]) -> None:
        self.app = app
        self.theme = theme

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Redirect or pass on."""
        if not self._is_bare_page(scope):
            await self.app(scope, receive, send)
            return
        theme = self._cookie(scope) or self.theme()
        query = scope["query_string"].decode("latin-1")
        location = f"?{query + '&' if query else ''}__theme={quote(theme)}"
        headers = [(b"location", location.encode("latin-1")), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 307, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    @staticmethod
    def _is_bare_page(scope: Scope) -> bool:
        if scope["type"] != "http" or scope["method"] != "GET" or b"__theme=" in scope["query_string"]:
            return False
        return scope["path"].removeprefix(scope.get("root_path", "")) in ("", "/")

    @staticmethod
    def _cookie(scope: Scope) -> str | None:
        for name, value in scope["headers"]:
            if name == b"cookie":
                for pair in value.decode("latin-1").split(";"):
                    key, _, theme = pair.strip().partition("=")
                    if key == THEME_COOKIE and theme in ("dark", "light"):
                        return theme
        return None


class RevalidatedFiles(StaticFiles):
    """Files that a browser may keep but asks about each time, so that an upgrade is seen at once."""

    async def get_response(self, path: str, scope: Scope) -> object:  # type: ignore[override]
        """The file with our cache header."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def serve(app: Starlette, theme: Callable[[], str]) -> None:
    """Add the redirect and the static files to the application."""
    app.mount(f"/{assets.ROUTE}", RevalidatedFiles(directory=assets.FOLDER), name=assets.ROUTE)
    app.user_middleware.insert(0, Middleware(ThemeRedirect, theme=theme))
