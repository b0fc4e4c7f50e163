"""Fixtures of the API tests: the application around a FakeWorker, and a client that speaks to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from api.app import create_app
from api.security import Security
from service.services import Services
from tests.api.pictures import base64_of, picture

ClientOf = Callable[..., TestClient]


@pytest.fixture
def app(services: Services) -> FastAPI:
    """The API as it runs on one's own machine: no login."""
    return create_app(services, Security())


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """A client of `app`; a bug shows as a 500 answer, as it would to a user."""
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def secured(services: Services) -> ClientOf:
    """Makes a client of an application with the given Security fields, asking for http://localhost."""

    def make(**fields: object) -> TestClient:
        app = create_app(services, Security(**fields))
        return TestClient(app, base_url="http://localhost", raise_server_exceptions=False)

    return make


@pytest.fixture
def init_image() -> str:
    """A small red PNG as base64."""
    return base64_of(picture())
