"""The loaded model: swapped without growth, never lost to a bad file, owned by one thread."""

from __future__ import annotations

import gc
import os
import shutil
import threading
import weakref
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

from engine import lora, pipeline_manager
from engine.components import Components
from engine.device import Placement
from engine.load_plan import LoadingStopped
from engine.model_configs import ConfigFolder
from engine.model_plans import plan_model
from engine.pipeline_manager import PipelineManager
from generation.errors import ModelFileError, OutOfMemory
from generation.job import Event, JobChannel, Phase, PhaseChanged, Warned
from generation.lora_use import LoraUse
from generation.model_card import ModelCard
from tests.engine import tiny
from tests.model_files import TINY, card, random_weights, tiny_configs, vae_shapes, write_model
from tests.model_files import write_safetensors_header as write_header

CPU = Placement(torch.device("cpu"), torch.float32, torch.float32)
CONV_IN = "conv_in.weight"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints of the same structure and a VAE."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("models")
    tiny_configs(folder / "configs")
    write_model(folder / "a.safetensors", seed=1)
    write_model(folder / "b.safetensors", seed=2)
    save_file(random_weights(dict(vae_shapes(TINY)), seed=3), folder / "v.safetensors")
    return folder


@pytest.fixture
def manager(folder: Path) -> Iterator[PipelineManager]:
    made = PipelineManager(CPU, partial(plan_model, configs=ConfigFolder(folder / "configs")))
    yield made
    made.unload()


def load(manager: PipelineManager, model: ModelCard, vae: ModelCard | None = None) -> Components:
    return manager.ensure_loaded(model, vae, tiny.Recorder().channel)


def first_weights(components: Components) -> tuple[float, float]:
    unet, vae = components.unet.state_dict(), components.vae.state_dict()
    return float(unet[CONV_IN].flatten()[0]), float(vae["decoder.conv_in.weight"].flatten()[0])


def test_the_same_model_is_not_loaded_twice(manager: PipelineManager, folder: Path) -> None:
    recorder = tiny.Recorder()
    first = load(manager, card(folder / "a.safetensors"))
    again = manager.ensure_loaded(card(folder / "a.safetensors"), None, recorder.channel)
    assert again is first
    assert recorder.events == []
    assert manager.loaded == card(folder / "a.safetensors")


def test_loading_tells_its_progress(manager: PipelineManager, folder: Path) -> None:
    recorder = tiny.Recorder()
    manager.ensure_loaded(card(folder / "a.safetensors"), None, recorder.channel)
    fractions = [event.fraction for event in recorder.events if isinstance(event, PhaseChanged)]
    assert {event.phase for event in recorder.events if isinstance(event, PhaseChanged)} == {Phase.LOADING}
    assert fractions[0] == 0.0
    assert fractions[-1] == 1.0
    assert fractions == sorted(fractions)
    assert len(fractions) > 5


def test_a_switch_gives_the_other_models_weights_in_the_same_memory(
    manager: PipelineManager, folder: Path
) -> None:
    a = load(manager, card(folder / "a.safetensors"))
    weights_a, place = first_weights(a), a.unet.state_dict()[CONV_IN].data_ptr()
    b = load(manager, card(folder / "b.safetensors"))
    assert first_weights(b) != weights_a
    assert b.unet.state_dict()[CONV_IN].data_ptr() == place
    assert first_weights(load(manager, card(folder / "a.safetensors"))) == weights_a


def test_choosing_a_vae_loads_only_the_vae(manager: PipelineManager, folder: Path) -> None:
    unet, vae = first_weights(load(manager, card(folder / "a.safetensors")))
    chosen = first_weights(load(manager, card(folder / "a.safetensors"), card(folder / "v.safetensors")))
    assert chosen[0] == unet
    assert chosen[1] != vae
    assert first_weights(load(manager, card(folder / "a.safetensors"))) == (unet, vae)


def test_a_file_that_was_replaced_is_loaded_anew(manager: PipelineManager, folder: Path, tmp_path: Path) -> None:
    path = shutil.copy(folder / "a.safetensors", tmp_path / "m.safetensors")
    before = first_weights(load(manager, card(path)))
    shutil.copy(folder / "b.safetensors", path)
    os.utime(path, ns=(1, 10**18))
    assert first_weights(load(manager, card(path))) != before


def bad_files(folder: Path) -> Iterator[Path]:
    whole = (folder / "a.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    yield folder / "cut.safetensors"
    yield write_header(folder / "bomb.safetensors", b"{" * 1000)
    (folder / "page.safetensors").write_bytes(b"<html>not found</html>")
    yield folder / "page.safetensors"
    yield folder / "missing.safetensors"
    torch.save({"state_dict": {"x": torch.zeros(1).expand(10**6, 10**6)}}, folder / "bomb.ckpt")
    yield folder / "bomb.ckpt"
    yield folder / "v.safetensors"


def test_the_loaded_model_survives_every_bad_file(manager: PipelineManager, folder: Path) -> None:
    good = load(manager, card(folder / "a.safetensors"))
    before = first_weights(good)
    for path in bad_files(folder):
        with pytest.raises(ModelFileError, match=path.name):
            load(manager, card(path))
        recorder = tiny.Recorder()
        again = manager.ensure_loaded(card(folder / "a.safetensors"), None, recorder.channel)
        assert again is good, path.name
        assert recorder.events == [], "it was not even loaded again"
    assert first_weights(good) == before


def test_a_bad_vae_leaves_the_model_usable(manager: PipelineManager, folder: Path) -> None:
    good = load(manager, card(folder / "a.safetensors"))
    with pytest.raises(ModelFileError, match="holds no VAE"):
        load(manager, card(folder / "a.safetensors"), card(write_header(folder / "no_vae.safetensors", {})))
    assert load(manager, card(folder / "a.safetensors")) is good


def test_a_stop_ends_loading_and_the_next_job_loads_again(manager: PipelineManager, folder: Path) -> None:
    recorder = tiny.Recorder()

    def stop_soon(event: Event) -> None:
        if isinstance(event, PhaseChanged) and (event.fraction or 0) > 0.5:
            recorder.stop.now(keep=False)

    load(manager, card(folder / "a.safetensors"))
    with pytest.raises(LoadingStopped):
        manager.ensure_loaded(
            card(folder / "b.safetensors"), None, JobChannel(stop_soon, recorder.stop, lambda: False)
        )
    fresh = PipelineManager(CPU, partial(plan_model, configs=ConfigFolder(folder / "configs")))
    wanted = first_weights(load(fresh, card(folder / "a.safetensors")))
    assert first_weights(load(manager, card(folder / "a.safetensors"))) == wanted


def test_a_stop_before_loading_leaves_the_model_alone(manager: PipelineManager, folder: Path) -> None:
    good = load(manager, card(folder / "a.safetensors"))
    stopped = tiny.Recorder()
    stopped.stop.now(keep=True)
    with pytest.raises(LoadingStopped):
        manager.ensure_loaded(card(folder / "b.safetensors"), None, stopped.channel)
    assert load(manager, card(folder / "a.safetensors")) is good


def test_another_thread_may_not_touch_the_model(manager: PipelineManager, folder: Path) -> None:
    errors: list[BaseException] = []

    def intrude() -> None:
        try:
            load(manager, card(folder / "a.safetensors"))
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=intrude)
    thread.start()
    thread.join()
    assert "another thread" in str(errors[0])


def test_prompts_are_encoded_once_a_model(manager: PipelineManager, folder: Path) -> None:
    load(manager, card(folder / "a.safetensors"))
    first = manager.conditioner
    assert manager.conditioner is first
    load(manager, card(folder / "b.safetensors"))
    assert manager.conditioner is not first


def test_unloading_frees_the_networks(manager: PipelineManager, folder: Path) -> None:
    network = weakref.ref(load(manager, card(folder / "a.safetensors")).unet)
    manager.unload()
    assert network() is None
    assert manager.loaded is None


def test_running_out_of_memory_while_loading_is_an_error_for_people(
    manager: PipelineManager, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(pipeline_manager, "load_part", no_memory)
    with pytest.raises(OutOfMemory, match=r"loading a\.safetensors"):
        load(manager, card(folder / "a.safetensors"))
    monkeypatch.undo()
    load(manager, card(folder / "a.safetensors"))


def write_lora(path: Path) -> Path:
    from safetensors.torch import save_file

    source = torch.Generator().manual_seed(0)
    targets = {
        "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q": 64,
        "lora_te_text_model_encoder_layers_0_mlp_fc2": 32,
    }
    weights = {}
    for name, outputs in targets.items():
        weights[f"{name}.lora_down.weight"] = torch.randn(2, 64, generator=source)
        weights[f"{name}.lora_up.weight"] = torch.randn(outputs, 2, generator=source)
    save_file(weights, path)
    return path


def test_loras_are_used_and_leave_with_the_model(manager: PipelineManager, folder: Path, tmp_path: Path) -> None:
    recorder = tiny.Recorder()
    model = load(manager, card(folder / "a.safetensors"))
    weight = model.unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q.weight
    plain, encoded = weight.clone(), manager.conditioner.encode("the cat")
    manager.use_loras([LoraUse(write_lora(tmp_path / "l.safetensors"))], recorder.channel)
    assert not torch.equal(weight, plain)
    assert not torch.equal(manager.conditioner.encode("the cat"), encoded)
    manager.use_loras([], recorder.channel)
    assert torch.equal(weight, plain)
    assert torch.equal(manager.conditioner.encode("the cat"), encoded)
    manager.use_loras([LoraUse(tmp_path / "l.safetensors")], recorder.channel)
    again = load(manager, card(folder / "a.safetensors"), card(folder / "v.safetensors"))
    assert torch.equal(again.unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q.weight, plain)
    assert not any(isinstance(event, Warned) for event in recorder.events)


def test_a_stop_while_loras_are_added_takes_them_out(
    manager: PipelineManager, folder: Path, tmp_path: Path
) -> None:
    recorder = tiny.Recorder()
    model = load(manager, card(folder / "a.safetensors"))
    weight = model.unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q.weight
    plain, encoded = weight.clone(), manager.conditioner.encode("the cat")
    use = LoraUse(write_lora(tmp_path / "l.safetensors"))
    recorder.stop.now(keep=True)
    with pytest.raises(LoadingStopped):
        manager.use_loras([use], recorder.channel)
    assert torch.equal(weight, plain)
    assert torch.equal(manager.conditioner.encode("the cat"), encoded)
    manager.use_loras([use], tiny.Recorder().channel)
    assert not torch.equal(weight, plain)


def test_running_out_of_memory_while_adding_loras_is_an_error_for_people(
    manager: PipelineManager, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    load(manager, card(folder / "a.safetensors"))
    use = LoraUse(write_lora(tmp_path / "l.safetensors"))
    monkeypatch.setattr(lora, "bias_change", no_memory)
    with pytest.raises(OutOfMemory, match="adding LoRAs"):
        manager.use_loras([use], tiny.Recorder().channel)


def test_a_lora_that_does_not_fit_leaves_the_model_usable(
    manager: PipelineManager, folder: Path, tmp_path: Path
) -> None:
    good = load(manager, card(folder / "a.safetensors"))
    before = first_weights(good)
    with pytest.raises(ModelFileError, match="is not a LoRA"):
        manager.use_loras([LoraUse(folder / "v.safetensors")], tiny.Recorder().channel)
    assert load(manager, card(folder / "a.safetensors")) is good
    assert first_weights(good) == before


def resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as table:
        return int(table.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_switching_twenty_times_leaves_memory_flat(manager: PipelineManager, folder: Path) -> None:
    cards = [card(folder / "a.safetensors"), card(folder / "b.safetensors")]
    for number in range(4):
        load(manager, cards[number % 2], card(folder / "v.safetensors") if number % 3 == 0 else None)
    gc.collect()
    before = resident()
    for number in range(20):
        load(manager, cards[number % 2], card(folder / "v.safetensors") if number % 3 == 0 else None)
    gc.collect()
    weights = (folder / "a.safetensors").stat().st_size
    assert resident() - before < weights, f"{resident() - before:,} bytes more; one model is {weights:,}"
