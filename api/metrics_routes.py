"""Numbers for Prometheus, in its text format."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access import ServicesOf, only_owners
from generation.job import JobState
from generation.version import VERSION
from service.services import Services

TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


@dataclass
class Traffic:
    """Answers so far by method and status. Changed only on the event loop."""

    started: float = field(default_factory=time.time)
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)

    def count(self, method: str, status: int) -> None:
        """One more answer; methods that HTTP does not know share one entry."""
        self.answers[method if method in METHODS else "other", status] += 1


class CountAnswers:
    """ASGI middleware that counts every answer, refusals included."""

    def __init__(self, app: ASGIApp, traffic: Traffic) -> None:
        self.app = app
        self.traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on and count."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.traffic.count(scope["method"], message["status"])
            await send(message)

        await self.app(scope, receive, counted)


def router() -> APIRouter:
    """`/metrics`."""
    routes = APIRouter(tags=["server"])
    guard = [Depends(only_owners)]
    routes.add_api_route("/metrics", metrics, methods=["GET"], dependencies=guard, summary="For Prometheus")
    return routes


async def metrics(request: Request, services: ServicesOf) -> PlainTextResponse:
    """Jobs by state, HTTP answers, start time and memory."""
    traffic: Traffic = request.app.state.traffic
    lines = [*_jobs(services), *_answers(traffic), *_process(traffic)]
    return PlainTextResponse("\n".join(lines) + "\n", media_type=TEXT_FORMAT)


def _jobs(services: Services) -> list[str]:
    counts = Counter(status.state for status in services.generation.jobs())
    return [
        "# HELP easel_jobs Jobs by state; finished ones are forgotten after a while.",
        "# TYPE easel_jobs gauge",
        *(f'easel_jobs{{state="{state.value}"}} {counts[state]}' for state in JobState),
    ]


def _answers(traffic: Traffic) -> list[str]:
    return [
        "# HELP easel_http_answers_total HTTP answers since the start.",
        "# TYPE easel_http_answers_total counter",
        *(
            f'easel_http_answers_total{{method="{method}",status="{status}"}} {count}'
            for (method, status), count in sorted(traffic.answers.items())
        ),
    ]


def _process(traffic: Traffic) -> list[str]:
    lines = [
        "# TYPE easel_info gauge",
        f'easel_info{{version="{VERSION}"}} 1',
        "# TYPE process_start_time_seconds gauge",
        f"process_start_time_seconds {traffic.started:.3f}",
    ]
    if (resident := resident_bytes()) is not None:
        lines += ["# TYPE process_resident_memory_bytes gauge", f"process_resident_memory_bytes {resident}"]
    return lines


def resident_bytes() -> int | None:
    """Main memory that this process uses; None where the system does not tell."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
