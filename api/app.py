"""The web application: routes, error handlers, and the gate in front. The page is mounted on it afterwards."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

from api import (
    extras_routes,
    generation_routes,
    job_routes,
    listing_routes,
    login_routes,
    metrics_routes,
    option_routes,
    picture_routes,
    prompt_routes,
)
from api.access import ServicesOf
from api.errors import Faults, answer, handle_errors
from api.idempotency import IdempotencyKeys
from api.login import Doorkeeper
from api.metrics_routes import CountAnswers, Traffic
from api.security import Gate, Security
from api.sessions import Sessions
from generation.job import JobState
from generation.version import VERSION
from service.services import Services

DESCRIPTION = """\
Two ways to the same pictures: `/api/v1/jobs` (submit, watch, fetch; every job has its own id) and `/sdapi/v1`,
which speaks the field names of AUTOMATIC1111's web UI, so that its clients work unchanged.
"""
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def create_app(services: Services, security: Security) -> FastAPI:
    """The application with all API routes. Mount the page last, at "/": it answers whatever is not ours."""
    app = FastAPI(title="Easel", version=VERSION, description=DESCRIPTION, strict_content_type=False)
    app.state.services = services
    app.state.security = security
    app.state.idempotency = IdempotencyKeys()
    app.state.traffic = Traffic()
    doorkeeper = Doorkeeper(security.users, Sessions(security.users))
    app.state.doorkeeper = doorkeeper
    handle_errors(app)
    modules = (
        generation_routes, listing_routes, option_routes, picture_routes, prompt_routes, job_routes,
        extras_routes,
        login_routes, metrics_routes,
    )  # fmt: skip
    routers = [module.router() for module in modules]
    for router in routers:
        app.include_router(router)
    app.state.known_routes = [
        route for router in routers for route in router.routes if isinstance(route, APIRoute)
    ]
    app.add_api_route("/healthz", health, methods=["GET"], tags=["server"], summary="Is the server alive?")
    app.add_api_route("/queue/status", queue_status, methods=["GET"], tags=["server"], summary="How many wait")
    for prefix in ("/sdapi", "/api/v1"):
        # Otherwise the page, mounted at "/", would answer for addresses that look like the API's.
        app.add_api_route(prefix + "/{rest:path}", nothing_here, methods=METHODS, include_in_schema=False)
    # The last one added is the outermost.
    app.add_middleware(GZipMiddleware, minimum_size=1024, compresslevel=4)
    # Present even without origins: Gradio then leaves CORS to us instead of allowing every page.
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(security.cors_origins),
        allow_credentials=bool(security.cors_origins) and "*" not in security.cors_origins,
        allow_methods=METHODS,
        allow_headers=["*"],
    )
    app.add_middleware(Faults)
    app.add_middleware(Gate, security=security, doorkeeper=doorkeeper)
    app.add_middleware(CountAnswers, traffic=app.state.traffic)
    return app


async def health() -> dict[str, str]:
    """`{"status": "ok"}` while the server answers."""
    return {"status": "ok", "version": VERSION}


async def queue_status(services: ServicesOf) -> dict[str, str | int | None]:
    """The number of waiting jobs, in the shape of Gradio 3: clients of A1111 ask here if a server is there."""
    waiting = sum(status.state is JobState.QUEUED for status in services.generation.jobs())
    return {"msg": "estimation", "rank": None, "queue_size": waiting, "rank_eta": None, "queue_eta": None}


async def nothing_here(request: Request) -> JSONResponse:
    """404, or 405 where the address exists with another method."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    methods = _methods_of(request.app.state.known_routes, path)
    if methods:
        listed = ", ".join(sorted(methods))
        sentence = f"{path} takes {listed}, not {request.method}."
        return answer(405, sentence, "MethodNotAllowed", headers={"Allow": listed})
    sentence = f"Easel has no {request.method} {ascii(path)[:100]}. The addresses it has are listed at /docs."
    return answer(404, sentence, "NotFound")


def _methods_of(routes: Iterable[APIRoute], path: str) -> set[str]:
    return {method for route in routes if route.path_regex.match(path) for method in route.methods or ()}
