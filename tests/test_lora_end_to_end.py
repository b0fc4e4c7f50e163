"""`<lora:name:weight>` in a prompt, from the request to the pixels: real services, real worker, tiny model."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from api import command_line, generate_command
from engine.local_worker import LocalWorker, WorkerSettings
from generation.infotext import parse_infotext
from generation.job import JobState, JobStatus
from generation.result import GeneratedImage
from service.services import Services, build_services
from tests.engine import tiny
from tests.engine.test_diffusers_folder import write_folder
from tests.fakes import PATIENCE
from tests.lora_files import kohya_weights, write_lora

UNET, TEXT = "lora_unet_", "lora_te_text_model_"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_folder(folder / "tiny")
    unet, text = tiny.unet(), tiny.text_encoder(len(tiny.tokenizer()))
    whole = kohya_weights({UNET: unet, TEXT: text}, scale=0.5)
    write_lora(folder / "Lora/ink.safetensors", whole, ss_output_name="Drawn in ink")
    write_lora(folder / "Lora/styles/paper.safetensors", kohya_weights({UNET: unet}, seed=6, scale=0.5))
    write_lora(folder / "Lora/words.safetensors", kohya_weights({TEXT: text}, seed=7, scale=0.5))
    partial = kohya_weights({UNET: unet}, seed=8) | kohya_weights({"lora_unet_elsewhere_": unet.mid_block})
    write_lora(folder / "Lora/partial.safetensors", partial)
    write_lora(folder / "Lora/foreign.safetensors", kohya_weights({"lora_unet_elsewhere_": unet}))
    return folder


@pytest.fixture(scope="module")
def services(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """One server for all tests: whatever one of them leaves behind, the next would show."""
    folder = tmp_path_factory.mktemp("files")
    built = build_services(
        worker_factories={"local": lambda: LocalWorker("local", WorkerSettings(device="cpu", dtype="fp32"))},
        models_dirs=[models],
        outputs_dir=folder / "outputs",
        data_dir=folder / "data",
    )
    yield built
    built.close()


def finished(services: Services, prompt: str, **changes: object) -> JobStatus:
    job_id = services.generation.submit(tiny.request(prompt=prompt, **changes))
    return services.generation.wait(job_id, timeout=PATIENCE)


def pixels(image: GeneratedImage) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image.read_png())))


def made(services: Services, prompt: str, **changes: object) -> list[np.ndarray]:
    status = finished(services, prompt, **changes)
    assert status.state is JobState.DONE, status.error
    return [pixels(image) for image in status.images]


def is_same(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("tag", ["<lora:ink:1>", "<lora:paper:1>", "<lora:words:1:0>", "<lyco:INK:0:1>"])
def test_a_lora_changes_the_picture_and_leaves_no_trace_in_the_next(services: Services, tag: str) -> None:
    plain = made(services, "a red apple")
    assert not is_same(made(services, f"a red apple{tag}"), plain)
    assert is_same(made(services, "a red apple"), plain)


def test_weight_0_is_the_same_as_without(services: Services) -> None:
    plain = made(services, "a red apple")
    assert is_same(made(services, "a red apple<lora:ink:0>"), plain)
    assert is_same(made(services, "a red apple<lora:words:0:1>"), plain)  # it has nothing for the U-Net


def test_text_is_encoded_anew_for_every_set_of_loras(services: Services) -> None:
    strong, weak = "a red apple<lora:words:1>", "a red apple<lora:words:0.4>"
    first = made(services, strong)
    assert not is_same(made(services, weak), first)
    assert is_same(made(services, strong), first)


def test_the_two_weights_are_those_of_text_encoder_and_unet(services: Services) -> None:
    both = made(services, "a red apple<lora:ink:0.6:0.9>")
    assert is_same(made(services, "a red apple<lora:ink:unet=0.9:te=0.6>"), both)
    assert not is_same(made(services, "a red apple<lora:ink:0.9:0.6>"), both)


def test_every_picture_of_all_batches_has_the_lora(services: Services) -> None:
    prompt = "a red apple<lora:ink:0.7>"
    batch = made(services, prompt, batch_size=2, batch_count=2)
    assert len(batch) == 4
    for k, picture in enumerate(batch):
        alone = made(services, prompt, seed=1 + k)[0]
        assert np.abs(picture.astype(int) - alone.astype(int)).max() <= 1


def test_img2img_uses_loras(services: Services) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 30, 30)).save(picture, "PNG")
    img2img = {"init_images": (picture.getvalue(),), "denoising_strength": 0.7}
    plain = made(services, "a red apple", img2img=img2img)
    assert not is_same(made(services, "a red apple<lora:ink:1>", img2img=img2img), plain)


def test_the_same_lora_twice_adds_up(services: Services) -> None:
    whole = made(services, "a red apple<lora:ink:0.75>")
    assert is_same(made(services, "a red apple<lora:ink:0.5><lora:Drawn in ink:0.25>"), whole)


def test_a_rank_of_0_leaves_nothing_of_a_lora(services: Services) -> None:
    plain = made(services, "a red apple")
    assert is_same(made(services, "a red apple<lora:ink:1:1:0>"), plain)
    assert not is_same(made(services, "a red apple<lora:ink:1:1:1>"), plain)
    assert is_same(made(services, "a red apple<lora:ink:1:1:2>"), made(services, "a red apple<lora:ink:1>"))


def test_an_unknown_lora_is_left_out_with_a_warning_that_names_the_nearest(services: Services) -> None:
    plain = made(services, "a red apple")
    status = finished(services, "a red apple<lora:inkk:1>")
    assert status.state is JobState.DONE
    assert status.warnings == ("Unknown LoRA 'inkk'. Did you mean 'ink'? The picture is made without it.",)
    assert is_same([pixels(status.images[0])], plain)


def test_in_the_negative_prompt_a_tag_is_text(services: Services) -> None:
    status = finished(services, "a red apple", negative_prompt="dog<lora:ink:1>")
    assert len(status.warnings) == 1
    assert "networks work in the prompt only" in status.warnings[0]


def test_a_partial_match_warns_every_job_that_uses_it(services: Services) -> None:
    for _ in range(2):
        status = finished(services, "a red apple<lora:partial:1>")
        assert status.state is JobState.DONE
        assert len(status.warnings) == 1
        assert "partial.safetensors: only" in status.warnings[0]


def test_a_lora_for_another_model_is_an_error_and_the_next_job_works(services: Services) -> None:
    plain = made(services, "a red apple")
    status = finished(services, "a red apple<lora:ink:1><lora:foreign:1>")
    assert status.state is JobState.ERROR
    assert status.error is not None
    assert "foreign.safetensors does not fit: 0 of" in status.error.message
    assert is_same(made(services, "a red apple"), plain)


def test_hashes_are_in_the_infotext_once_they_are_known(services: Services) -> None:
    assert services.catalog.wait_for_hashes(PATIENCE)
    status = finished(services, "a red apple<lora:ink:0.5><lora:paper:1><lora:gone:1>")
    infotext = status.images[0].infotext
    hashes = {card.name: (card.body_sha256 or "")[:12] for card in services.catalog.loras()}
    assert parse_infotext(infotext)["Lora hashes"] == f"ink: {hashes['ink']}, paper: {hashes['styles/paper']}"
    assert infotext.startswith("a red apple<lora:ink:0.5><lora:paper:1><lora:gone:1>\n")
    by_hash = made(services, f"a red apple<lora:{hashes['ink']}:1>")
    assert is_same(made(services, "a red apple<lora:ink:1>"), by_hash)
    assert "Lora hashes" not in finished(services, "a red apple").images[0].infotext


def test_the_command_line_uses_loras(
    services: Services, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ["--width", "64", "--height", "64", "--steps", "4", "--seed", "1", "--sampler", "Euler"]
    pictures = []
    for number, prompt in enumerate(["a red apple", "a red apple<lora:ink:1>", "a red apple<lora:inkk:1>"]):
        path = tmp_path / f"{number}.png"
        options = command_line.generate_parser().parse_args([prompt, *size, "--output", str(path)])
        generate_command.generate(services, options)
        pictures.append(np.asarray(Image.open(path)))
    assert not np.array_equal(pictures[0], pictures[1])
    assert np.array_equal(pictures[0], pictures[2])
    assert "Unknown LoRA 'inkk'" in capsys.readouterr().err
