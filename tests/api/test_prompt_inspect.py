"""POST /api/v1/prompt/inspect."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.services import Services

PATH = "/api/v1/prompt/inspect"


def test_schedule_weights_and_networks(client: TestClient) -> None:
    prompt = "a [cat:dog:0.5] (in a hat:1.3) <lora:ink:0.8>"
    answer = client.post(PATH, json={"prompt": prompt, "steps": 20}).json()
    [subprompt] = answer["subprompts"]
    assert [span["until_step"] for span in subprompt["schedule"]] == [10, 20]
    assert [("cat" in span["text"], "dog" in span["text"]) for span in subprompt["schedule"]] == [
        (True, False),
        (False, True),
    ]
    assert {"text": "in a hat", "weight": 1.3} in subprompt["schedule"][0]["parts"]
    assert answer["networks"] == [{"kind": "lora", "items": ["ink", "0.8"], "file": None}]
    assert answer["warnings"] == ["Unknown LoRA 'ink'. The picture is made without it."]


def test_loras_are_looked_up(client: TestClient, services: Services, models_dir: Path) -> None:
    (models_dir / "Lora").mkdir()
    (models_dir / "Lora/ink.safetensors").write_bytes(b"ink")
    services.catalog.refresh()
    answer = client.post(PATH, json={"prompt": "a <lora:Ink:0.8> <hypernet:h:1>"}).json()
    assert [network["file"] for network in answer["networks"]] == ["ink.safetensors", None]
    assert len(answer["warnings"]) == 1
    assert "hypernetworks are not available" in answer["warnings"][0]
    answer = client.post(PATH, json={"prompt": "a <lora:none>", "is_negative": True}).json()
    assert len(answer["warnings"]) == 1
    assert "plain text" in answer["warnings"][0]


def test_and(client: TestClient) -> None:
    answer = client.post(PATH, json={"prompt": "sea AND sky :0.5"}).json()
    assert [subprompt["weight"] for subprompt in answer["subprompts"]] == [1.0, 0.5]


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "prompt"), ({"prompt": "x", "steps": 0}, "steps"), ({"prompt": "x" * 20_001}, "prompt")],
)
def test_bad_requests(client: TestClient, body: dict[str, object], field: str) -> None:
    answer = client.post(PATH, json=body)
    assert answer.status_code == 422
    assert answer.json()["field"] == field


@pytest.mark.parametrize("prompt", ["", "(" * 5000, "[a|" * 500, "[" * 2000 + "a:b:3" + "]" * 2000, "\ufeff\x00"])
def test_odd_prompts_are_no_trouble(client: TestClient, prompt: str) -> None:
    assert client.post(PATH, json={"prompt": prompt}).status_code == 200


@pytest.mark.parametrize(
    "prompt", ["(a:1.1.1)", f"(a:{'9' * 400})", "((a:1" + "0" * 300 + "):1" + "0" * 300 + ")"]
)
def test_weights_that_are_no_numbers_are_named(client: TestClient, prompt: str) -> None:
    answer = client.post(PATH, json={"prompt": prompt})
    assert answer.status_code == 422
    assert answer.json()["detail"]
