"""POST /sdapi/v1/txt2img: A1111's fields, defaults, answer and errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from generation.errors import OutOfMemory
from generation.request import GenerationRequest, Hires, NoiseSource
from service.services import Services
from tests.api.pictures import opened
from tests.fakes import FakeWorker

FIELDS = json.loads((Path(__file__).parent / "a1111_request_fields.json").read_text())


def ask(client: TestClient, **fields: Any) -> dict[str, Any]:
    answer = client.post("/sdapi/v1/txt2img", json=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def request_made(client: TestClient, worker: FakeWorker, **fields: Any) -> GenerationRequest:
    ask(client, **fields)
    return worker.jobs[-1].request


def test_an_empty_request_gets_a1111s_defaults_not_the_pages(client: TestClient, fake_worker: FakeWorker) -> None:
    request = request_made(client, fake_worker)
    assert (request.steps, request.sampler, request.schedule) == (50, "Euler", "Automatic")
    assert (request.width, request.height, request.cfg_scale) == (512, 512, 7.0)
    assert (request.batch_size, request.batch_count, request.img2img) == (1, 1, None)
    assert 0 <= request.seed < 2**32
    assert request.save is False
    assert request.noise_source is NoiseSource.CPU


def test_the_answer_has_a1111s_shape(client: TestClient) -> None:
    answer = ask(client, prompt="a red apple", seed=7, n_iter=2)
    assert set(answer) == {"images", "parameters", "info"}
    assert [opened(image).format for image in answer["images"]] == ["PNG", "PNG"]
    assert opened(answer["images"][0]).text["parameters"].startswith("a red apple")
    info = json.loads(answer["info"])
    assert info["all_prompts"] == ["a red apple"] * 2
    assert (info["seed"], info["all_seeds"], info["index_of_first_image"]) == (7, [7, 8], 0)
    assert len(info["infotexts"]) == 2
    assert (info["sampler_name"], info["steps"], info["width"]) == ("Euler", 50, 512)
    assert info["sd_model_name"] == "painter"
    assert len(info["job_timestamp"]) == 14


A1111_INFO_KEYS = {
    "prompt", "all_prompts", "negative_prompt", "all_negative_prompts", "seed", "all_seeds", "subseed",
    "all_subseeds", "subseed_strength", "width", "height", "sampler_name", "cfg_scale", "steps", "batch_size",
    "restore_faces",
    "face_restoration_model", "sd_model_name", "sd_model_hash", "sd_vae_name", "sd_vae_hash", "seed_resize_from_w",
    "seed_resize_from_h", "denoising_strength", "extra_generation_params", "index_of_first_image", "infotexts",
    "styles", "job_timestamp", "clip_skip", "is_using_inpainting_conditioning", "version",
}  # fmt: skip


def test_info_has_every_key_of_a1111(client: TestClient) -> None:
    assert set(json.loads(ask(client)["info"])) >= A1111_INFO_KEYS


def test_parameters_echo_the_request_with_every_a1111_field_and_default(client: TestClient) -> None:
    echo = ask(client, prompt="x")["parameters"]
    assert set(FIELDS["txt2img"]) <= set(echo)
    expected = {name: field["default"] for name, field in FIELDS["txt2img"].items()} | {"prompt": "x"}
    assert {name: echo[name] for name in expected} == expected


def test_the_echo_keeps_the_random_seed_open(client: TestClient) -> None:
    assert ask(client, seed=-1)["parameters"]["seed"] == -1


def test_null_is_accepted_for_every_field(client: TestClient) -> None:
    for field in FIELDS["txt2img"]:
        assert len(ask(client, **{"steps": 1, field: None})["images"]) == 1, field


def test_unknown_fields_and_styles_are_accepted(client: TestClient) -> None:
    assert ask(client, no_such_field={"a": [1]}, styles=["no such style"], id_task="x")["images"]


@pytest.mark.parametrize(("asked", "made"), [(520, 520), (519, 512), (511, 504), (64, 64)])
def test_sizes_are_rounded_down_to_multiples_of_eight(
    client: TestClient, fake_worker: FakeWorker, asked: int, made: int
) -> None:
    request = request_made(client, fake_worker, width=asked, height=asked)
    assert (request.width, request.height) == (made, made)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"sampler_name": "DPM++ 2M"}, ("DPM++ 2M", "Automatic")),
        ({"sampler_name": "DPM++ 2M Karras"}, ("DPM++ 2M", "Karras")),
        ({"sampler_name": "Euler SGM Uniform"}, ("Euler", "SGM Uniform")),
        ({"sampler_name": "k_euler_a"}, ("Euler a", "Automatic")),
        ({"sampler_name": "euler a"}, ("Euler a", "Automatic")),
        ({"sampler_index": "Heun"}, ("Heun", "Automatic")),
        ({"sampler_index": "Heun", "sampler_name": "DDIM"}, ("DDIM", "Automatic")),
        ({"sampler_name": "", "sampler_index": ""}, ("Euler", "Automatic")),
        ({"scheduler": "karras"}, ("Euler", "Karras")),
        ({"scheduler": "Karras"}, ("Euler", "Karras")),
        ({"scheduler": "SGMUniform"}, ("Euler", "SGM Uniform")),
        ({"scheduler": "Exponential", "sampler_name": "DPM++ 2M Karras"}, ("DPM++ 2M", "Exponential")),
    ],
)
def test_sampler_and_schedule_names(
    client: TestClient, fake_worker: FakeWorker, fields: dict[str, str], expected: tuple[str, str]
) -> None:
    request = request_made(client, fake_worker, **fields)
    assert (request.sampler, request.schedule) == expected


def test_every_generation_field_reaches_the_worker(client: TestClient, fake_worker: FakeWorker) -> None:
    request = request_made(
        client,
        fake_worker,
        prompt="a",
        negative_prompt="b",
        seed=3,
        subseed=9,
        subseed_strength=0.25,
        seed_resize_from_w=256,
        seed_resize_from_h=128,
        batch_size=2,
        n_iter=3,
        steps=4,
        cfg_scale=5.5,
        eta=0.5,
        s_churn=1.0,
        s_tmin=0.1,
        s_tmax=10,
        s_noise=1.1,
    )
    assert (request.prompt, request.negative_prompt, request.seed) == ("a", "b", 3)
    assert (request.variation_seed, request.variation_strength) == (9, 0.25)
    assert (request.seed_resize_width, request.seed_resize_height) == (256, 128)
    assert (request.batch_size, request.batch_count, request.steps, request.cfg_scale) == (2, 3, 4, 5.5)
    options = request.sampling
    assert (options.eta, options.s_churn, options.s_tmin, options.s_tmax, options.s_noise) == (
        0.5,
        1,
        0.1,
        10,
        1.1,
    )


def test_half_a_seed_resize_counts_as_none(client: TestClient, fake_worker: FakeWorker) -> None:
    assert request_made(client, fake_worker, seed_resize_from_w=256).seed_resize_width == 0


def test_with_a_variation_the_subseeds_count_up_instead(client: TestClient) -> None:
    info = json.loads(ask(client, seed=5, subseed=11, subseed_strength=0.3, batch_size=3)["info"])
    assert (info["all_seeds"], info["all_subseeds"]) == ([5, 5, 5], [11, 12, 13])


@pytest.mark.parametrize(
    ("setting", "value", "field", "expected"),
    [
        ("CLIP_stop_at_last_layers", 2, "clip_skip", 2),
        ("randn_source", "NV", "noise_source", NoiseSource.NV),
        ("sd_vae", "crisp.safetensors", "vae", "crisp.safetensors"),
        ("sd_vae", "Automatic", "vae", "Automatic"),
        ("sd_model_checkpoint", "painter.safetensors", "model", "painter"),
    ],
)
def test_override_settings_reach_the_request_only(
    client: TestClient,
    services: Services,
    fake_worker: FakeWorker,
    setting: str,
    value: object,
    field: str,
    expected: object,
) -> None:
    before = services.preferences.get()
    request = request_made(client, fake_worker, override_settings={setting: value})
    assert getattr(request, field) == expected
    assert services.preferences.get() == before


def test_sampling_overrides_give_way_to_the_requests_own_fields(
    client: TestClient, fake_worker: FakeWorker
) -> None:
    settings = {"eta_noise_seed_delta": 31337, "s_churn": 2.0, "eta_ancestral": 0.5, "eta_ddim": 0.9}
    sampling = request_made(client, fake_worker, s_churn=1.0, override_settings=settings).sampling
    assert (sampling.eta_noise_seed_delta, sampling.s_churn, sampling.eta) == (31337, 1.0, 0.5)


def test_overrides_stay_when_the_client_says_so(client: TestClient, services: Services) -> None:
    ask(client, override_settings={"CLIP_stop_at_last_layers": 3}, override_settings_restore_afterwards=False)
    assert services.preferences.get().clip_skip == 3


def test_overrides_that_mean_nothing_here_are_named_in_info(client: TestClient) -> None:
    info = json.loads(ask(client, override_settings={"outdir_samples": "/etc", "clip_skip": None})["info"])
    assert info["ignored_override_settings"] == ["outdir_samples"]


@pytest.mark.parametrize(
    "settings",
    [
        {"sd_model_checkpoint": "no such model"},
        {"sd_vae": "no such vae"},
        {"CLIP_stop_at_last_layers": "two"},
        {"CLIP_stop_at_last_layers": 99},
        {"randn_source": "dice"},
        {"eta_noise_seed_delta": 1.5},
        {"samples_save": "yes"},
        {"sd_model_checkpoint": 3},
    ],
)
def test_bad_overrides_are_refused_by_their_own_name(client: TestClient, settings: dict[str, object]) -> None:
    answer = client.post("/sdapi/v1/txt2img", json={"override_settings": settings})
    assert answer.status_code in (404, 422)
    body = answer.json()
    assert next(iter(settings)) in f"{body['field']} {body['detail']}"


def test_pictures_are_saved_only_when_asked(client: TestClient, services: Services) -> None:
    ask(client)
    assert services.history.count() == 0
    ask(client, save_images=True)
    assert services.history.count() == 1


def test_saving_can_be_overridden(client: TestClient, services: Services) -> None:
    ask(client, save_images=True, override_settings={"samples_save": False})
    assert services.history.count() == 0


def test_a_grid_comes_first_with_save_images(client: TestClient, fake_worker: FakeWorker) -> None:
    fake_worker.size = (16, 24)
    answer = ask(client, save_images=True, n_iter=3, seed=10)
    info = json.loads(answer["info"])
    assert info["index_of_first_image"] == 1
    assert len(answer["images"]) == len(info["infotexts"]) == 4
    assert info["all_seeds"] == [10, 11, 12]
    grid = opened(answer["images"][0])
    assert grid.size == (32, 48)
    cells = [grid.getpixel(corner) for corner in ((0, 0), (16, 0), (0, 24))]
    assert cells == [opened(image).getpixel((0, 0)) for image in answer["images"][1:]]


def test_no_grid_without_save_images_or_for_one_picture(client: TestClient) -> None:
    assert len(ask(client, n_iter=2)["images"]) == 2
    assert len(ask(client, save_images=True)["images"]) == 1


def test_send_images_false_sends_none(client: TestClient) -> None:
    answer = ask(client, send_images=False)
    assert answer["images"] == []
    assert len(json.loads(answer["info"])["infotexts"]) == 1


def test_the_task_id_names_the_job_and_can_be_used_again(client: TestClient) -> None:
    first = json.loads(ask(client, force_task_id="task(abc)")["info"])["job_id"]
    second = json.loads(ask(client, force_task_id="task(abc)")["info"])["job_id"]
    assert first == "task(abc)"
    assert second != first


INFOTEXT = """a pear
Negative prompt: blurry
Steps: 12, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 4.5, Seed: 99, Size: 256x320\
, Clip skip: 2, Model: x"""


def test_infotext_fills_only_what_the_client_left_open(client: TestClient, fake_worker: FakeWorker) -> None:
    answer = ask(client, infotext=INFOTEXT, prompt="an apple", steps=3)
    request = fake_worker.jobs[-1].request
    assert (request.prompt, request.negative_prompt, request.steps) == ("an apple", "blurry", 3)
    assert (request.sampler, request.schedule, request.cfg_scale) == ("DPM++ 2M", "Karras", 4.5)
    assert (request.seed, request.width, request.height, request.clip_skip) == (99, 256, 320, 2)
    assert request.model == "painter"
    assert "'x'" in " ".join(json.loads(answer["info"])["infotext_not_carried_over"])


@pytest.mark.parametrize(
    "fields",
    [
        {"steps": 0},
        {"steps": 100_000},
        {"steps": "many"},
        {"width": 0},
        {"width": -8},
        {"height": 1_000_000},
        {"cfg_scale": -1},
        {"cfg_scale": "high"},
        {"batch_size": 0},
        {"n_iter": 0},
        {"n_iter": 10**9},
        {"seed": -2},
        {"seed": 2**80},
        {"subseed_strength": 2},
        {"eta": -1},
        {"prompt": {"a": 1}},
        {"prompt": "x" * 200_000},
        {"override_settings": [1]},
        {"scheduler": "no such schedule"},
        {"sampler_name": "no such sampler"},
        {"sampler_index": "no such sampler"},
        {"force_task_id": "../../etc/passwd"},
    ],
)
def test_bad_values_get_a_4xx_with_a_sentence_naming_the_field(client: TestClient, fields: dict[str, Any]) -> None:
    answer = client.post("/sdapi/v1/txt2img", json=fields)
    assert 400 <= answer.status_code < 500
    body = answer.json()
    assert isinstance(body["detail"], str)
    assert body["detail"]
    assert len(body["detail"]) < 400
    name = next(iter(fields)).replace("sampler_index", "sampler").replace("force_task_id", "id")
    assert name.split("_")[0] in f"{body['field']} {body['detail']}"


def test_an_unknown_sampler_is_named_with_its_nearest(client: TestClient) -> None:
    detail = client.post("/sdapi/v1/txt2img", json={"sampler_name": "DPM+ 2M"}).json()["detail"]
    assert "'DPM+ 2M'" in detail
    assert "'DPM++ 2M'" in detail


@pytest.mark.parametrize(
    "fields",
    [
        {"hr_checkpoint_name": "other", "enable_hr": True},
        {"restore_faces": True},
        {"tiling": True},
        {"refiner_checkpoint": "refiner"},
        {"s_min_uncond": 1.0},
        {"script_name": "X/Y/Z plot"},
        {"alwayson_scripts": {"ADetailer": {"args": []}}},
    ],
)
def test_features_that_are_not_here_are_refused_not_ignored(client: TestClient, fields: dict[str, Any]) -> None:
    answer = client.post("/sdapi/v1/txt2img", json=fields)
    assert answer.status_code == 422
    body = answer.json()
    assert body["field"] == next(iter(fields))
    assert "not available" in body["detail"]


def test_the_same_features_switched_off_are_fine(client: TestClient) -> None:
    off = {"enable_hr": False, "hr_scale": 2, "refiner_checkpoint": "None", "refiner_switch_at": 0.8}
    assert ask(client, **off, script_name="", alwayson_scripts={}, tiling=False, s_min_uncond=0)["images"]


def test_hires_fix(client: TestClient, fake_worker: FakeWorker) -> None:
    request = request_made(
        client, fake_worker, enable_hr=True, width=256, height=256, hr_scale=1.5, hr_upscaler="Latent (nearest)",
        hr_second_pass_steps=7, denoising_strength=0.4, hr_sampler_name="Euler a Karras", hr_prompt="a pear",
        hr_negative_prompt="blur", hr_scheduler="Use same scheduler", hr_checkpoint_name="Use same checkpoint",
    )  # fmt: skip
    assert request.hires == Hires(
        scale=1.5, upscaler="Latent (nearest)", steps=7, denoising_strength=0.4, sampler="Euler a",
        schedule="Karras", prompt="a pear", negative_prompt="blur",
    )  # fmt: skip


def test_hires_fix_by_itself_has_a1111s_defaults(client: TestClient, fake_worker: FakeWorker) -> None:
    assert request_made(client, fake_worker, enable_hr=True).hires == Hires()
    assert request_made(client, fake_worker, hr_scale=3).hires is None


def test_a_first_pass_size_makes_the_size_that_of_the_second(client: TestClient, fake_worker: FakeWorker) -> None:
    request = request_made(
        client, fake_worker, enable_hr=True, width=768, height=512, firstphase_width=384, firstphase_height=256
    )
    assert (request.width, request.height) == (384, 256)
    assert request.hires is not None
    assert request.hires.size_from(384, 256) == (768, 512, 768, 512)


def test_infotext_brings_hires_fix(client: TestClient, fake_worker: FakeWorker) -> None:
    text = "a\nSteps: 4, Sampler: Euler, Seed: 1, Size: 64x64, Denoising strength: 0.3, Hires upscale: 2"
    request = request_made(client, fake_worker, infotext=text)
    assert request.hires == Hires(denoising_strength=0.3)
    assert request_made(client, fake_worker, infotext=text, enable_hr=False).hires is None


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"hr_upscaler": "R-ESRGAN 4x+"}, 404),
        ({"hr_sampler_name": "Oiler"}, 404),
        ({"hr_scheduler": "Nonsense"}, 404),
        ({"hr_scale": 0.5}, 422),
        ({"hr_second_pass_steps": 100_000}, 422),
        ({"hr_resize_x": 100_000}, 422),
        ({"denoising_strength": 2}, 422),
        ({"hr_scale": 8, "width": 2048, "height": 64}, 422),
    ],
)
def test_bad_hires_values_are_refused_by_their_name(
    client: TestClient, fields: dict[str, Any], status: int
) -> None:
    answer = client.post("/sdapi/v1/txt2img", json={"enable_hr": True, **fields})
    assert (answer.status_code, answer.json()["field"]) == (status, next(iter(fields)))


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b'{"cfg_scale": NaN}', b'{"comments": {"a": Infinity}}'],
)
def test_bodies_that_are_no_json_object(client: TestClient, body: bytes) -> None:
    answer = client.post("/sdapi/v1/txt2img", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"comments": ' + b'{"a":' * 200 + b"1" + b"}" * 200 + b"}",
        b'{"comments": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"prompt": "\\ud800"}',
        b'{"comments": {"\\udfff": 1}}',
    ],
)
def test_json_that_could_not_be_echoed_is_refused(client: TestClient, body: bytes) -> None:
    answer = client.post("/sdapi/v1/txt2img", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)


def test_a_failed_job_answers_with_its_reason(client: TestClient, fake_worker: FakeWorker) -> None:
    fake_worker.fail_with = OutOfMemory("The device is full.", "Make smaller pictures.")
    answer = client.post("/sdapi/v1/txt2img", json={})
    assert answer.status_code == 507
    assert answer.json()["detail"] == "The device is full. Make smaller pictures."


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_the_worker_answers_500_without_a_traceback(client: TestClient, fake_worker: FakeWorker) -> None:
    fake_worker.fail_with = ZeroDivisionError("secret detail")
    answer = client.post("/sdapi/v1/txt2img", json={})
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert "Traceback" not in answer.text
    fake_worker.fail_with = None
    assert ask(client)["images"]
