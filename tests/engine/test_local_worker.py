"""From a job to pictures with infotext, also when memory is short."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine import frugal, local_worker
from engine.frugal import TilingVae, generate_frugally
from engine.generate import Picture, generate
from engine.local_worker import LocalWorker, WorkerSettings, open_manager
from engine.preview import PreviewSettings
from generation.errors import InvalidRequest, ModelFileError, OutOfMemory
from generation.job import Job, JobChannel, JobId, Phase, PhaseChanged, Previewed, Produced, Stepped, Warned
from generation.metadata import read_infotext
from generation.model_card import ModelLayout
from generation.paste import request_from_metadata
from generation.request import GenerationRequest
from tests.engine import tiny
from tests.engine.test_diffusers_folder import write_folder
from tests.model_files import card

SETTINGS = WorkerSettings(device="cpu", dtype="fp32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("worker") / "tiny")


def job(folder: Path, **changes: object) -> Job:
    return Job(JobId("j"), tiny.request(**changes), card(folder, ModelLayout.DIFFUSERS))


def run(worker: LocalWorker, job: Job, recorder: tiny.Recorder | None = None) -> list[Produced]:
    recorder = recorder or tiny.Recorder()
    worker.generate(job, recorder.channel)
    return [event for event in recorder.events if isinstance(event, Produced)]


def test_a_job_becomes_pictures_with_infotext(folder: Path) -> None:
    recorder = tiny.Recorder(watched=True)
    made = run(LocalWorker("w", SETTINGS), job(folder, batch_size=2, batch_count=2), recorder)
    assert [event.image.seed for event in made] == [1, 2, 3, 4]
    for event in made:
        picture = Image.open(io.BytesIO(event.image.png))
        assert picture.size == (event.image.width, event.image.height) == (64, 64)
        assert f"Seed: {event.image.seed}," in event.image.infotext
        assert "Model: tiny" in event.image.infotext
        assert read_infotext(event.image.png).infotext == event.image.infotext
    alone = request_from_metadata(read_infotext(made[2].image.png)).fields
    assert (alone["seed"], alone.get("batch_size", 1), alone.get("batch_count", 1)) == (3, 1, 1)
    assert recorder.phases[0] == Phase.LOADING
    assert [event.batch for event in recorder.steps] == [1] * 4 + [2] * 4
    assert any(isinstance(event, Previewed) for event in recorder.events)


def test_the_picture_is_the_engines_own(folder: Path) -> None:
    made = run(LocalWorker("w", SETTINGS), job(folder))
    wanted = next(generate(tiny.components(), tiny.request(), tiny.Recorder().channel))
    found = np.asarray(Image.open(io.BytesIO(made[0].image.png))).astype(int)
    # Convolutions with the channels innermost round differently.
    assert np.abs(found - wanted.pixels).max() <= 1


def test_the_model_stays_loaded_between_jobs(folder: Path) -> None:
    worker = LocalWorker("w", SETTINGS)
    first = run(worker, job(folder))
    recorder = tiny.Recorder()
    second = run(worker, job(folder), recorder)
    assert Phase.LOADING not in recorder.phases
    assert second[0].image.png == first[0].image.png


def test_a_chosen_vae_is_used_and_named(folder: Path, tmp_path: Path) -> None:
    other = write_folder(tmp_path / "other")
    config = other / "vae" / "config.json"
    config.write_text(config.read_text())
    weights = torch.nn.utils.parameters_to_vector(tiny.vae().parameters())
    network = tiny.vae()
    torch.nn.utils.vector_to_parameters(weights * 0.5, network.parameters())
    network.save_pretrained(other / "vae")
    plain = run(LocalWorker("w", SETTINGS), job(folder))[0].image
    chosen = replace(job(folder), vae=card(other / "vae"))
    changed = run(LocalWorker("w", SETTINGS), chosen)[0].image
    assert changed.png != plain.png
    assert "VAE: vae" in changed.infotext


def test_a_stop_while_loading_makes_nothing_and_raises_nothing(folder: Path) -> None:
    recorder = tiny.Recorder()
    recorder.stop.now(keep=True)
    assert run(LocalWorker("w", SETTINGS), job(folder), recorder) == []


def test_a_kept_stop_gives_the_partial_picture(folder: Path) -> None:
    recorder = tiny.Recorder()
    recorder.stop_at = 2
    made = run(LocalWorker("w", SETTINGS), job(folder, batch_count=3), recorder)
    assert [event.image.is_partial for event in made] == [True]


def test_a_missing_model_is_an_error_for_people_and_the_worker_lives_on(folder: Path, tmp_path: Path) -> None:
    worker = LocalWorker("w", SETTINGS)
    gone = replace(job(folder), checkpoint=card(tmp_path / "gone.safetensors"))
    with pytest.raises(ModelFileError, match=r"gone\.safetensors"):
        run(worker, gone)
    assert len(run(worker, job(folder))) == 1
    worker.close()


@pytest.mark.parametrize("device", ["cuda:99", "tpu", "cuda:x", "cpu:1"])
def test_a_device_that_is_not_there_is_an_error_for_people(device: str) -> None:
    with pytest.raises(InvalidRequest, match=device):
        open_manager(WorkerSettings(device=device))


def test_a_broken_torchvision_is_explained(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_worker, "torchvision_problem", lambda: "torchvision … pip uninstall torchvision")
    with pytest.raises(ModelFileError) as caught:
        run(LocalWorker("w", SETTINGS), job(folder))
    assert "pip uninstall torchvision" in caught.value.hint


def test_settings_reach_the_placement() -> None:
    manager = open_manager(replace(SETTINGS, dtype="bf16", channels_last=False, gemm_attention=True))
    assert manager.placement.dtype is torch.bfloat16
    assert manager.placement.channels_last is False
    assert manager.placement.gemm_attention is True


# Out of memory.

Generate = Callable[..., object]
OOM = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def failing_batches(limit: int, after: int = 0) -> Generate:
    """The real `generate`, except that batches of more than `limit` pictures run out of memory after `after`."""

    def limited(components, request, channel, conditioner, preview):  # type: ignore[no-untyped-def]
        for number, picture in enumerate(generate(components, request, channel, conditioner, preview)):
            if request.batch_size > limit and number >= after:
                raise OOM
            yield picture

    return limited


def make(request: GenerationRequest, recorder: tiny.Recorder) -> list[Picture]:
    components = tiny.components()
    conditioner = frugal.Conditioner(components)
    return list(generate_frugally(components, request, recorder.channel, conditioner, PreviewSettings()))


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("varied", [0.0, 0.5])
def test_a_batch_that_does_not_fit_is_made_picture_by_picture(
    monkeypatch: pytest.MonkeyPatch, after: int, varied: float
) -> None:
    request = tiny.request(batch_size=2, batch_count=2, variation_strength=varied, variation_seed=7)
    wanted = list(generate(tiny.components(), request, tiny.Recorder().channel))
    monkeypatch.setattr(frugal, "generate", failing_batches(1, after))
    recorder = tiny.Recorder()
    found = make(request, recorder)
    assert [(p.seed, p.variation_seed) for p in found] == [(p.seed, p.variation_seed) for p in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert np.abs(one.pixels.astype(int) - other.pixels.astype(int)).max() <= 1
    warnings = [event.message for event in recorder.events if isinstance(event, Warned)]
    assert warnings == [frugal.SPLIT_WARNING]
    last = [event for event in recorder.events if isinstance(event, Stepped)][-1]
    assert (last.batch, last.batches) == (4, 4)


def test_a_single_picture_that_does_not_fit_is_an_error_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frugal, "generate", failing_batches(0))
    with pytest.raises(OutOfMemory, match="64x64") as caught:
        make(tiny.request(), tiny.Recorder())
    assert "smaller" in caught.value.hint
    with pytest.raises(OutOfMemory):
        make(tiny.request(batch_size=2), tiny.Recorder())


def test_other_errors_are_not_taken_for_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> object:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(frugal, "generate", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        make(tiny.request(), tiny.Recorder())


class ForgetfulVae:
    """An autoencoder for which memory is enough only in small tiles."""

    def __init__(self) -> None:
        self.real = tiny.vae()
        self.tile_sample_min_size, self.tile_latent_min_size, self.use_tiling = 512, 64, False
        self.seen: list[tuple[int, int, bool]] = []

    def decode(self, latents: torch.Tensor, return_dict: bool = True) -> object:
        self.seen.append((self.tile_sample_min_size, self.tile_latent_min_size, self.use_tiling))
        if not self.use_tiling:
            raise OOM
        return self.real.decode(latents, return_dict=return_dict)


def test_a_picture_too_large_to_decode_at_once_is_decoded_in_tiles() -> None:
    warnings: list[str] = []
    vae = ForgetfulVae()
    careful = TilingVae(vae, tiny.components(), warnings.append)
    with torch.no_grad():
        pixels = careful.decode(torch.zeros(1, 4, 8, 8), return_dict=False)[0]
    assert pixels.shape == (1, 3, 64, 64)
    assert vae.seen == [(512, 64, False), (256, 32, True)]
    assert (vae.tile_sample_min_size, vae.tile_latent_min_size, vae.use_tiling) == (512, 64, False)
    assert warnings == [frugal.TILED_WARNING]


def test_the_worker_decodes_with_the_forgiving_autoencoder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = []
    real = TilingVae.decode

    def counted(self, latents, return_dict=True):  # type: ignore[no-untyped-def]
        attempts.append(latents.shape)
        return real(self, latents, return_dict)

    monkeypatch.setattr(TilingVae, "decode", counted)
    run(LocalWorker("w", SETTINGS), job(folder))
    assert attempts == [(1, 4, 8, 8)]


def test_loading_progress_comes_before_encoding(folder: Path) -> None:
    recorder = tiny.Recorder()
    run(LocalWorker("w", SETTINGS), job(folder), recorder)
    phases = [event.phase for event in recorder.events if isinstance(event, PhaseChanged)]
    assert phases.index(Phase.ENCODING) > phases.index(Phase.LOADING)
    assert isinstance(recorder.channel, JobChannel)
