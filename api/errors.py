"""One place that turns exceptions into answers: always JSON, always a sentence, never a traceback."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from generation.errors import UserError
from generation.job import JobError

log = logging.getLogger(__name__)

SHOWN_CHARACTERS = 80  # of an offending value
STATUS_SENTENCES = {
    400: "The request could not be read.",
    401: "Please log in.",
    404: "There is nothing at this address.",
    405: "This address does not take that method.",
    413: "The request is too large.",
}


class JobFailed(UserError):
    """A job that ended with an error, told to the client that waited for it."""

    def __init__(self, error: JobError) -> None:
        super().__init__(error.message, error.hint)
        self.status = error.status


class NotAvailable(UserError):
    """A feature of A1111 that was asked for and that we do not have."""


def answer(
    status: int,
    sentence: str,
    name: str,
    *,
    hint: str = "",
    field: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The JSON of every error. `detail`, `error`, `errors` and `body` are where A1111's clients look."""
    content = {"detail": sentence, "error": name, "errors": sentence, "body": "", "hint": hint, "field": field}
    return JSONResponse(content, status_code=status, headers=dict(headers or {}))


def handle_errors(app: FastAPI) -> None:
    """Install the handlers for everything a route can raise on purpose."""

    @app.exception_handler(UserError)
    async def on_user_error(_: Request, error: UserError) -> JSONResponse:
        headers = {"Retry-After": "5"} if error.status == 503 else None
        name = type(error).__name__
        return answer(error.status, str(error), name, hint=error.hint, field=error.field, headers=headers)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        field = field_of(first["loc"])
        return answer(422, sentence_of(first), "InvalidRequest", field=field or None)

    @app.exception_handler(HTTPException)
    async def on_http(_: Request, error: HTTPException) -> JSONResponse:
        sentence = STATUS_SENTENCES.get(error.status_code, error.detail or "The request was refused.")
        return answer(error.status_code, sentence, "HTTPException", headers=error.headers)


def field_of(location: tuple[Any, ...]) -> str:  # Any: pydantic's mix of names and indexes
    """`a.b.0` from pydantic's location, without the leading "body"."""
    parts = location[1:] if location[:1] in (("body",), ("query",), ("path",)) else location
    return ".".join(str(part) for part in parts)


def sentence_of(error: Mapping[str, Any]) -> str:  # Any: pydantic's error dictionary
    """One of pydantic's errors as a sentence that names the field and the value."""
    field = field_of(tuple(error["loc"]))
    if error["type"] == "json_invalid":
        return f"The request is not valid JSON: {error.get('ctx', {}).get('error', 'it could not be parsed')}."
    if error["type"] == "missing":
        return f"{field}: this field is required." if field else "The request needs a JSON object as its body."
    shown = ascii(error.get("input"))
    shown = shown if len(shown) <= SHOWN_CHARACTERS else shown[: SHOWN_CHARACTERS - 1] + "…"
    return f"{field or 'request'}: {error['msg']}, got {shown}."


class Faults:
    """Answers a bug with a sentence and a number to find it in the log, whatever route it happened in."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and catch what comes back."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        has_started = False

        async def watched(message: Message) -> None:
            nonlocal has_started
            has_started = has_started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:  # the HTTP edge: a bug of ours must not become a traceback on the page
            number = secrets.token_hex(4)
            log.exception("%s %s failed (error %s)", scope["method"], scope["path"], number)
            if has_started:
                raise
            sentence = f"Something broke on the server (error {number}); the log has the details."
            await answer(500, sentence, type(error).__name__)(scope, receive, send)
