"""Settings that suit a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from generation.model_card import ModelCard, ModelDefaults
from service.preferences import Preferences
from service.services import Services
from ui import model_defaults


def card(**opinions: object) -> ModelCard:
    return ModelCard(name="m", filename="m", path=Path("m"), defaults=ModelDefaults(**opinions))


def test_the_model_knows_best_then_the_user_then_the_request() -> None:
    preferences = Preferences(default_steps=33, default_sampler="Heun")
    values = model_defaults.defaults_for(card(native_size=128, default_sampler="Euler"), preferences)
    assert (values["width"], values["height"]) == (128, 128)
    assert (values["sampler"], values["steps"], values["cfg_scale"]) == ("Euler", 33, 7.0)


def test_what_the_user_has_changed_stays() -> None:
    old = model_defaults.defaults_for(card(native_size=512), Preferences())
    new = model_defaults.defaults_for(card(native_size=128, default_steps=9), Preferences())
    adapted = model_defaults.adapt({**old, "width": 640}, old, new)
    assert (adapted["width"], adapted["height"], adapted["steps"]) == (640, 128, 9)


def test_there_are_always_examples() -> None:
    assert model_defaults.examples_for(None)
    assert model_defaults.examples_for(card(example_prompts=("a pear",))) == ("a pear",)


def test_a_chosen_model_that_is_gone_gives_way_to_the_default(services: Services, models_dir: Path) -> None:
    services.preferences.update(sd_model_checkpoint="painter")
    extra = models_dir / "Stable-diffusion" / "another.safetensors"
    extra.write_bytes(b"another")
    (models_dir / "Stable-diffusion" / "painter.safetensors").unlink()
    services.catalog.refresh()
    current = model_defaults.current_card(services)
    assert current is not None
    assert current.name == "another"


@pytest.mark.parametrize("models_dir", [Path("nowhere")])
def test_no_model_at_all_is_no_crash(services: Services) -> None:
    assert model_defaults.current_card(services) is None


def test_the_form_begins_with_what_the_settings_remember(services: Services) -> None:
    services.preferences.update(clip_skip=2, eta_noise_seed_delta=31337)
    assert model_defaults.saved_settings(services) == {
        "clip_skip": 2,
        "eta_noise_seed_delta": 31337,
        "vae": "Automatic",
    }
