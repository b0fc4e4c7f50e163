"""The login page and its signed session cookies."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest
from starlette.testclient import TestClient

from api.sessions import COOKIE, LIFETIME, Sessions

ClientOf = Callable[..., TestClient]
HTML = {"Accept": "text/html,application/xhtml+xml"}
USERS = {"alice": "wonderland", "bob": "builder"}


@pytest.fixture
def guarded(secured: ClientOf) -> TestClient:
    client = secured(users=USERS)
    client.follow_redirects = False
    return client


def log_in(client: TestClient, **fields: str) -> str:
    """The Set-Cookie header of a login that worked."""
    answer = client.post("/login", data={"name": "alice", "password": "wonderland", **fields})
    assert answer.status_code == 303
    return answer.headers["set-cookie"]


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/", "login?next=/"),
        ("/docs", "login?next=/docs"),
        ("/api/v1/jobs", "../../login?next=/api/v1/jobs"),
        ("/a%20b", "login?next=/a%20b"),
    ],
)
def test_people_are_led_to_the_login_page(guarded: TestClient, path: str, location: str) -> None:
    answer = guarded.get(path, headers=HTML)
    assert (answer.status_code, answer.headers["location"]) == (303, location)


def test_programs_are_asked_for_basic_credentials_and_scripts_are_not(guarded: TestClient) -> None:
    assert "www-authenticate" in guarded.get("/api/v1/jobs").headers
    script = guarded.get("/api/v1/jobs", headers={"Sec-Fetch-Mode": "cors"})
    assert script.status_code == 401
    assert "www-authenticate" not in script.headers


def test_the_page_needs_no_login_and_loads_nothing(guarded: TestClient) -> None:
    answer = guarded.get("/login", params={"next": "/docs"}, headers=HTML)
    assert answer.status_code == 200
    assert 'name="password"' in answer.text
    assert 'value="/docs"' in answer.text
    assert "<script" not in answer.text
    assert "src=" not in answer.text
    assert answer.headers["cache-control"] == "no-store"


def test_logging_in_opens_every_route(guarded: TestClient) -> None:
    answer = guarded.post("/login", data={"name": "alice", "password": "wonderland", "next": "/docs"})
    assert (answer.status_code, answer.headers["location"]) == (303, "./docs")
    assert guarded.get("/sdapi/v1/options").status_code == 200
    assert guarded.post("/sdapi/v1/interrupt").status_code == 200
    assert guarded.post("/sdapi/v1/interrupt", headers={"Origin": "https://evil.example"}).status_code == 403


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(guarded: TestClient, secured: ClientOf) -> None:
    cookie = log_in(guarded).lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert f"max-age={LIFETIME}" in cookie
    assert "; secure" not in cookie
    safe = secured(users=USERS)
    safe.base_url = "https://localhost"
    safe.follow_redirects = False
    assert "; secure" in log_in(safe).lower()
    framed = secured(users=USERS, frame_ancestors=("https://huggingface.co",))
    framed.base_url = "https://localhost"
    framed.follow_redirects = False
    cookie = log_in(framed).lower()
    assert "samesite=none" in cookie
    assert "; secure" in cookie


@pytest.mark.parametrize("fields", [{"password": "wrong"}, {"name": "carol"}, {"name": "", "password": ""}])
def test_wrong_passwords_show_the_form_again(guarded: TestClient, fields: dict[str, str]) -> None:
    data = {"name": "alice", "password": "wonderland", "next": "/docs", **fields}
    answer = guarded.post("/login", data=data)
    assert answer.status_code == 401
    assert "Wrong name or password." in answer.text
    assert 'value="/docs"' in answer.text
    assert "set-cookie" not in answer.headers


def test_guessing_on_the_page_is_slowed_down_too(guarded: TestClient) -> None:
    statuses = [guarded.post("/login", data={"name": "alice", "password": str(n)}).status_code for n in range(7)]
    assert statuses == [401] * 5 + [429] * 2
    assert guarded.get("/sdapi/v1/options", auth=("alice", "wonderland")).status_code == 429


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example",
        "//evil.example",
        "\\\\evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "a\nb",
    ],
)
def test_no_way_leads_out(guarded: TestClient, target: str) -> None:
    answer = guarded.post("/login", data={"name": "alice", "password": "wonderland", "next": target})
    location = answer.headers["location"]
    assert location.startswith("./")
    assert ":" not in location
    assert "//" not in location


def test_the_form_escapes_what_it_shows(guarded: TestClient) -> None:
    answer = guarded.get("/login", params={"next": '"><script>alert(1)</script>'})
    assert "<script" not in answer.text


def test_a_foreign_page_cannot_log_anybody_in(guarded: TestClient) -> None:
    data = {"name": "alice", "password": "wonderland"}
    assert guarded.post("/login", data=data, headers={"Origin": "https://evil.example"}).status_code == 403


def test_logging_out_ends_the_session_for_copies_of_the_cookie_too(guarded: TestClient) -> None:
    log_in(guarded)
    copy = guarded.cookies[COOKIE]
    answer = guarded.post("/logout")
    assert (answer.status_code, answer.headers["location"]) == (303, "login")
    assert guarded.get("/sdapi/v1/options").status_code == 401
    guarded.cookies.set(COOKIE, copy)
    assert guarded.get("/sdapi/v1/options").status_code == 401
    log_in(guarded)
    assert guarded.get("/sdapi/v1/options").status_code == 200


def test_without_login_the_page_leads_on(client: TestClient) -> None:
    answer = client.get("/login", params={"next": "/docs"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "./docs")


# Tokens


def test_a_token_names_its_user_until_it_is_over() -> None:
    now = [1000.0]
    sessions = Sessions(USERS, b"secret", lambda: now[0])
    token = sessions.begin("alice")
    assert sessions.user(token) == "alice"
    now[0] += LIFETIME - 1
    assert sessions.user(token) == "alice"
    now[0] += 2
    assert sessions.user(token) is None


def test_another_password_secret_or_user_list_ends_it() -> None:
    token = Sessions(USERS, b"secret").begin("alice")
    assert Sessions(USERS, b"secret").user(token) == "alice"
    assert Sessions(USERS, b"other secret").user(token) is None
    assert Sessions({**USERS, "alice": "new"}, b"secret").user(token) is None
    assert Sessions({"bob": "builder"}, b"secret").user(token) is None


def forged(token: str, **claims: object) -> str:
    body, _, signature = token.partition(".")
    values = json.loads(base64.urlsafe_b64decode(body + "=="))
    return (
        base64.urlsafe_b64encode(json.dumps({**values, **claims}).encode()).decode().rstrip("=") + "." + signature
    )


def test_forged_tokens_are_worth_nothing(guarded: TestClient) -> None:
    log_in(guarded)
    good = guarded.cookies[COOKIE]
    body, _, signature = good.partition(".")
    nested = base64.urlsafe_b64encode(b"[" * 100_000).decode()
    for token in (
        forged(good, user="bob"), forged(good, until=10**12), body, body + ".", "." + signature, good + "0", "",
        ".", "é.é", body + "." + "é" * 64, nested + "." + signature, forged(good, user=None),
        forged(good, until="x"),
    ):  # fmt: skip
        headers = {"Cookie": f"{COOKIE}={token}".encode()}
        guarded.cookies.clear()
        assert guarded.get("/sdapi/v1/options", headers=headers).status_code == 401, token[:80]
