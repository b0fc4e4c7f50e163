"""Calls of well-known programs, written down from what they send: they must work as they are."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

from generation.model_card import ModelKind
from service.services import Services
from tests.api.pictures import opened
from tests.fakes import FakeWorker


def test_open_webui(client: TestClient, services: Services, fake_worker: FakeWorker) -> None:
    """Checks the address, lists models, sends all options back with another model, asks for pictures."""
    services.catalog.wait_for_hashes(10)
    headers = {"authorization": "Basic "}
    assert client.get("/sdapi/v1/options", headers=headers).status_code == 200
    models = client.get("/sdapi/v1/sd-models", headers=headers).json()
    choices = [{"id": model["title"], "name": model["model_name"]} for model in models]
    options = client.get("/sdapi/v1/options", headers=headers).json()
    options["sd_model_checkpoint"] = choices[0]["id"]
    assert client.post("/sdapi/v1/options", json=options, headers=headers).status_code == 200
    data = {
        "prompt": "a red fox",
        "batch_size": 2,
        "width": 512,
        "height": 512,
        "steps": 20,
        "negative_prompt": "blurry",
        "cfg_scale": 7.0,
        "sampler_name": "Euler a",
        "scheduler": "Karras",
    }
    answer = client.post("/sdapi/v1/txt2img", json=data, headers=headers).json()
    assert [opened(image).format for image in answer["images"]] == ["PNG", "PNG"]
    assert isinstance(answer["info"], str)
    request = fake_worker.jobs[-1].request
    assert (request.sampler, request.schedule, request.negative_prompt) == ("Euler a", "Karras", "blurry")


def test_sillytavern(client: TestClient, services: Services, fake_worker: FakeWorker) -> None:
    """Pings, fills its lists, changes the model and waits until nothing runs, generates with all its fields."""
    assert client.get("/sdapi/v1/options").json()["sd_model_checkpoint"]
    assert "forge_preset" not in client.get("/sdapi/v1/options").json()
    lists = [client.get(f"/sdapi/v1/{path}").json() for path in ("upscalers", "latent-upscale-modes")]
    assert [entries[0]["name"] for entries in lists] == ["None", "Latent"]
    assert [entry["model_name"] for entry in client.get("/sdapi/v1/sd-vae").json()] == ["crisp.safetensors"]
    assert client.get("/sdapi/v1/sd-modules").status_code == 404
    title = client.get("/sdapi/v1/sd-models").json()[0]["title"]
    assert client.post("/sdapi/v1/options", json={"sd_model_checkpoint": title}).status_code == 200
    progress = client.get("/sdapi/v1/progress").json()
    assert (progress["progress"], progress["state"]["job_count"]) == (0, 0)
    body: dict[str, Any] = {
        "url": "http://localhost:7860",
        "auth": "",
        "prompt": "a castle",
        "negative_prompt": "text",
        "sampler_name": "DPM++ 2M",
        "scheduler": "karras",
        "steps": 20,
        "cfg_scale": 7,
        "width": 512,
        "height": 768,
        "restore_faces": False,
        "enable_hr": False,
        "hr_upscaler": "Latent",
        "hr_scale": 1.5,
        "hr_additional_modules": [],
        "denoising_strength": 0.7,
        "hr_second_pass_steps": 0,
        "override_settings": {"CLIP_stop_at_last_layers": 2, "sd_vae": "crisp.safetensors"},
        "override_settings_restore_afterwards": True,
        "clip_skip": 2,
        "save_images": True,
        "send_images": True,
        "do_not_save_grid": False,
        "do_not_save_samples": False,
    }
    answer = client.post("/sdapi/v1/txt2img", json=body)
    assert len(answer.json()["images"]) == 1
    request = fake_worker.jobs[-1].request
    vae = fake_worker.jobs[-1].vae
    assert vae is not None
    assert (request.clip_skip, vae.name, request.height) == (2, "crisp", 768)
    assert services.preferences.get().clip_skip == 1
    body["alwayson_scripts"] = {"ADetailer": {"args": [True, True, {"ad_model": "face_yolov8n.pt"}]}}
    refused = client.post("/sdapi/v1/txt2img", json=body)
    assert refused.status_code == 422
    assert "'ADetailer'" in refused.json()["detail"]


def test_a_krita_plugin(client: TestClient, services: Services, fake_worker: FakeWorker, init_image: str) -> None:
    """Asks Gradio 3's queue whether the server is there, loads all lists, inpaints without restoring overrides."""
    assert client.get("/queue/status").json()["queue_size"] == 0
    for path in (
        "sd-models", "sd-vae", "samplers", "upscalers", "face-restorers", "prompt-styles", "scripts", "loras",
        "embeddings", "hypernetworks", "options",
    ):  # fmt: skip
        assert client.get(f"/sdapi/v1/{path}").status_code == 200, path
    body = {
        "prompt": "a door",
        "negative_prompt": "",
        "styles": [],
        "seed": -1,
        "sampler_name": "Euler a",
        "steps": 15,
        "cfg_scale": 7.0,
        "width": 512,
        "height": 512,
        "batch_size": 1,
        "n_iter": 1,
        "init_images": [f"data:image/png;base64,{init_image}"],
        "mask": f"data:image/png;base64,{init_image}",
        "mask_blur": 4,
        "inpainting_fill": 1,
        "inpaint_full_res": False,
        "inpaint_full_res_padding": 0,
        "inpainting_mask_invert": 0,
        "denoising_strength": 0.8,
        "resize_mode": 0,
        "include_init_images": False,
        "refiner": "None",
        "refiner_switch_at": 0.8,
        "alwayson_scripts": {},
        "save_images": False,
        "override_settings": {
            "sd_model_checkpoint": "",
            "sd_vae": "crisp.safetensors",
            "img2img_color_correction": True,
        },
        "override_settings_restore_afterwards": False,
    }
    before = services.preferences.get().sd_model_checkpoint
    answer = client.post("/sdapi/v1/img2img", json=body)
    assert opened(answer.json()["images"][0]).format == "PNG"
    made = fake_worker.jobs[-1].request.img2img
    assert made is not None
    assert made.inpaint is not None
    assert services.catalog.find("crisp", ModelKind.VAE).title == services.preferences.get().sd_vae
    assert services.preferences.get().sd_model_checkpoint == before
    assert client.post("/sdapi/v1/interrupt", json={}).json() == {}
