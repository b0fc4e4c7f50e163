"""A1111's lists, and the server's own addresses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from generation.sampler_info import SAMPLERS, SCHEDULES
from service.services import Services
from tests.fakes import FakeWorker

GET = "/sdapi/v1/"


def write_safetensors(path: Path, header: dict[str, object]) -> None:
    raw = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(raw).to_bytes(8, "little") + raw)


def test_samplers(client: TestClient) -> None:
    listed = client.get(GET + "samplers").json()
    assert [entry["name"] for entry in listed] == [info.name for info in SAMPLERS]
    assert listed[0] == {"name": "DPM++ 2M", "aliases": ["k_dpmpp_2m"], "options": {"scheduler": "Karras"}}


def test_every_listed_sampler_and_alias_is_accepted(client: TestClient) -> None:
    for entry in client.get(GET + "samplers").json():
        for name in (entry["name"], *entry["aliases"]):
            answer = client.post(GET + "txt2img", json={"sampler_name": name, "steps": 1})
            assert answer.status_code == 200, name


def test_schedulers(client: TestClient) -> None:
    listed = client.get(GET + "schedulers").json()
    assert [entry["label"] for entry in listed] == [info.label for info in SCHEDULES]
    assert all(set(e) == {"name", "label", "aliases", "default_rho", "need_inner_model"} for e in listed)


def test_checkpoints(client: TestClient, services: Services) -> None:
    services.catalog.wait_for_hashes(10)
    [entry] = client.get(GET + "sd-models").json()
    card = services.catalog.find("painter")
    assert entry == {
        "title": f"painter.safetensors [{card.short_hash}]",
        "model_name": "painter",
        "hash": card.short_hash,
        "sha256": card.sha256,
        "filename": str(card.path),
        "config": None,
    }


def test_vaes(client: TestClient) -> None:
    [entry] = client.get(GET + "sd-vae").json()
    assert entry["model_name"] == "crisp.safetensors"


def test_loras(client: TestClient, models_dir: Path) -> None:
    assert client.get(GET + "loras").json() == []
    header = {"__metadata__": {"ss_output_name": "Ink 2", "ss_tag_frequency": '{"x": {"cat": 3, "y": NaN}}'}}
    write_safetensors(models_dir / "Lora/sub/ink.safetensors", header)
    write_safetensors(models_dir / "loras/paper.safetensors", {})
    assert client.post(GET + "refresh-loras").json() is None
    assert client.get(GET + "loras").json() == [
        {
            "name": "paper",
            "alias": "paper",
            "path": str(models_dir / "loras/paper.safetensors"),
            "metadata": {},
        },
        {
            "name": "ink",
            "alias": "Ink 2",
            "path": str(models_dir / "Lora/sub/ink.safetensors"),
            "metadata": {"ss_output_name": "Ink 2", "ss_tag_frequency": {"x": {"cat": 3, "y": None}}},
        },
    ]


def test_a_request_with_a_lora_reaches_the_worker_resolved(
    client: TestClient, fake_worker: FakeWorker, models_dir: Path
) -> None:
    write_safetensors(models_dir / "Lora/ink.safetensors", {})
    client.post(GET + "refresh-loras")
    answer = client.post(GET + "txt2img", json={"prompt": "a <lora:INK:0.5:0.25> <lora:x>", "steps": 1}).json()
    [use] = fake_worker.jobs[-1].loras
    assert (use.path.name, use.text_strength, use.unet_strength) == ("ink.safetensors", 0.5, 0.25)
    assert json.loads(answer["info"])["warnings"] == [
        "Unknown LoRA 'x'. Did you mean 'ink'? The picture is made without it."
    ]


@pytest.mark.parametrize("path", ["refresh-checkpoints", "refresh-vae", "refresh-loras"])
def test_refresh_finds_new_files(client: TestClient, models_dir: Path, path: str) -> None:
    (models_dir / "Stable-diffusion" / "newcomer.safetensors").write_bytes(b"new")
    assert client.post(GET + path).json() is None
    assert {entry["model_name"] for entry in client.get(GET + "sd-models").json()} == {"painter", "newcomer"}


@pytest.mark.parametrize(
    "path",
    [
        "hypernetworks", "face-restorers", "realesrgan-models", "prompt-styles", "script-info", "extensions",
    ],
)  # fmt: skip
def test_lists_of_what_is_not_here_are_empty(client: TestClient, path: str) -> None:
    assert client.get(GET + path).json() == []


def test_upscalers(client: TestClient) -> None:
    assert [entry["name"] for entry in client.get(GET + "upscalers").json()] == ["None", "Lanczos", "Nearest"]
    modes = [entry["name"] for entry in client.get(GET + "latent-upscale-modes").json()]
    assert modes[:2] == ["Latent", "Latent (antialiased)"]
    assert len(modes) == 6


def test_embeddings_and_scripts_have_their_shapes(client: TestClient) -> None:
    assert client.get(GET + "embeddings").json() == {"loaded": {}, "skipped": {}}
    assert client.get(GET + "scripts").json() == {"txt2img": [], "img2img": []}


def test_cmd_flags_hold_no_secrets(secured) -> None:
    client = secured(users={"alice": "wonderland"})
    answer = client.get(GET + "cmd-flags", auth=("alice", "wonderland"))
    assert answer.json()["api"] is True
    assert "wonderland" not in answer.text
    assert "alice" not in answer.text


def test_memory(client: TestClient) -> None:
    memory = client.get(GET + "memory").json()
    assert 0 < memory["ram"]["used"] < memory["ram"]["total"]
    assert "cuda" in memory


def test_health(client: TestClient) -> None:
    assert client.get("/healthz").json()["status"] == "ok"


def test_openapi_lists_all_routes_with_examples(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["info"]["title"] == "Easel"
    expected = [
        "txt2img",
        "img2img",
        "progress",
        "interrupt",
        "skip",
        "options",
        "sd-models",
        "samplers",
        "png-info",
    ]
    assert {f"/sdapi/v1/{name}" for name in expected} <= set(document["paths"])
    assert "/api/v1/jobs/{job_id}/events" in document["paths"]
    assert document["components"]["schemas"]["Txt2ImgPayload"]["examples"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], f"{method} {path}"
            assert operation.get("description"), f"{method} {path}"


def test_docs_page(client: TestClient) -> None:
    assert client.get("/docs").status_code == 200


@pytest.mark.parametrize("path", ["interrogate", "server-kill", "train/embedding"])
def test_calls_that_are_not_here_say_so(client: TestClient, path: str) -> None:
    answer = client.post(GET + path, json={})
    assert answer.status_code == 404
    assert path in answer.json()["detail"]


def test_a_wrong_method_is_405_with_the_right_one(client: TestClient) -> None:
    answer = client.get(GET + "txt2img")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert "POST" in answer.json()["detail"]
