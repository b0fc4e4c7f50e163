"""The public client `webuiapi` (PyPI), unchanged, against our application: an outside judge of compatibility."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import webuiapi
from PIL import Image
from starlette.testclient import TestClient

from service.services import Services
from tests.fakes import PATIENCE, FakeWorker


def api_of(client: TestClient, **options: object) -> webuiapi.WebUIApi:
    """The client with its connection led into the application instead of the network."""
    api = webuiapi.WebUIApi(baseurl="http://localhost/sdapi/v1", **options)
    auth = api.session.auth
    api.session = client
    client.auth = auth
    return api


@pytest.fixture
def api(client: TestClient) -> webuiapi.WebUIApi:
    return api_of(client)


PICTURE = Image.new("RGB", (64, 64), "red")


def test_txt2img(api: webuiapi.WebUIApi, fake_worker: FakeWorker) -> None:
    result = api.txt2img(
        prompt="cute squirrel",
        negative_prompt="ugly, out of frame",
        seed=1003,
        styles=["anime"],
        cfg_scale=7,
        batch_size=2,
        n_iter=2,
    )
    assert len(result.images) == 4
    assert result.image.format == "PNG"
    assert result.info["all_seeds"] == [1003, 1004, 1005, 1006]
    assert result.parameters["prompt"] == "cute squirrel"
    request = fake_worker.jobs[-1].request
    assert (request.sampler, request.schedule, request.steps) == ("Euler a", "Automatic", 20)


def test_its_own_defaults_per_client(client: TestClient, fake_worker: FakeWorker) -> None:
    api = api_of(client, sampler="DPM++ 2M", scheduler="karras", steps=5)
    api.txt2img(prompt="x")
    request = fake_worker.jobs[-1].request
    assert (request.sampler, request.schedule, request.steps) == ("DPM++ 2M", "Karras", 5)


def test_img2img_and_inpainting(api: webuiapi.WebUIApi, fake_worker: FakeWorker) -> None:
    result = api.img2img(images=[PICTURE], prompt="a cat", seed=5, denoising_strength=0.6)
    assert result.image.format == "PNG"
    result = api.img2img(images=[PICTURE], mask_image=PICTURE, inpainting_fill=1, prompt="a cat", seed=5)
    made = fake_worker.jobs[-1].request.img2img
    assert made is not None
    assert made.inpaint is not None
    assert made.inpaint.only_masked is True


def test_saved_pictures_with_a_grid(api: webuiapi.WebUIApi) -> None:
    result = api.txt2img(prompt="x", save_images=True, n_iter=2)
    assert len(result.images) == 3
    assert result.info["index_of_first_image"] == 1


def test_png_info(api: webuiapi.WebUIApi) -> None:
    made = api.txt2img(prompt="a plum", seed=77)
    result = api.png_info(made.image)
    assert result.info.startswith("a plum")
    assert result.parameters["Seed"] == "77"


def test_options_and_models(api: webuiapi.WebUIApi, services: Services) -> None:
    services.catalog.wait_for_hashes(PATIENCE)
    options = api.get_options()
    assert options["sd_model_checkpoint"] == services.catalog.find("painter").title
    assert api.set_options({"CLIP_stop_at_last_layers": 2}) is None
    assert api.get_options()["CLIP_stop_at_last_layers"] == 2
    assert api.util_get_model_names() == [services.catalog.find("painter").title]
    api.util_set_model("paint")
    assert api.util_get_current_model() == services.catalog.find("painter").title


def test_lists(api: webuiapi.WebUIApi) -> None:
    assert "Euler a" in api.util_get_sampler_names()
    assert "karras" in api.util_get_scheduler_names()
    assert api.get_sd_vae()[0]["model_name"] == "crisp.safetensors"
    assert api.get_scripts() == {"txt2img": [], "img2img": []}
    assert set(api.get_embeddings()) == {"loaded", "skipped"}
    assert set(api.get_memory()) == {"ram", "cuda"}
    assert isinstance(api.get_cmd_flags(), dict)
    for listing in (
        api.get_loras, api.get_hypernetworks,
        api.get_face_restorers, api.get_realesrgan_models, api.get_prompt_styles,
    ):  # fmt: skip
        assert listing() == []


def test_progress_interrupt_skip_refresh(api: webuiapi.WebUIApi, fake_worker: FakeWorker) -> None:
    gate = fake_worker.hold_at(3)
    with ThreadPoolExecutor(1) as background:
        waiting = background.submit(api.txt2img, prompt="x", steps=10)
        gate.wait_until_reached()
        progress = api.get_progress()
        assert progress["progress"] == 0.3
        assert progress["state"]["job_count"] == 1
        assert api.interrupt() == {}
        assert len(waiting.result(PATIENCE).images) == 1
    assert api.skip() is None
    assert api.refresh_checkpoints() is None
    api.util_wait_for_ready()


def test_login(secured) -> None:
    client = secured(users={"alice": "pw"})
    assert len(api_of(client, username="alice", password="pw").txt2img(prompt="x", steps=1).images) == 1
    client.auth = None
    with pytest.raises(RuntimeError, match="401"):
        api_of(client, username="alice", password="wrong").txt2img(prompt="x", steps=1)


@pytest.mark.parametrize(
    "call",
    [
        lambda api: api.txt2img(prompt="x", controlnet_units=[webuiapi.ControlNetUnit()], alwayson_scripts={}),
        lambda api: api.txt2img(prompt="x", script_name="X/Y/Z Plot"),
        lambda api: api.extra_single_image(PICTURE, gfpgan_visibility=1),
        lambda api: api.interrogate(PICTURE),
    ],
)
def test_what_is_not_here_fails_with_our_sentence(api: webuiapi.WebUIApi, call) -> None:
    with pytest.raises(RuntimeError, match=r"not available|has no") as caught:
        call(api)
    assert caught.value.args[0] in (404, 422)
