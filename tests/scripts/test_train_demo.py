"""The demo model's training script, end to end on synthetic emoji at 32 px, without the network."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from scripts.train_demo import (
    evaluate,
    export,
    gallery,
    latents,
    scenes,
    tokenizer,
    train_text,
    train_unet,
    train_vae,
)
from scripts.train_demo.captions import Captioner, article
from scripts.train_demo.data import Emoji, archive_name, read_objects
from scripts.train_demo.optimizer import build_optimizer, orthogonal
from scripts.train_demo.presets import CPU, StageSettings
from scripts.train_demo.training import Budget

SHAPES = {
    "red apple": "ellipse",
    "green box": "rectangle",
    "dog": "ellipse",
    "owl": "rectangle",
    "cat": "ellipse",
}
FILLS = ((220, 30, 30, 255), (30, 160, 60, 255), (150, 100, 60, 255), (90, 90, 90, 255), (240, 150, 40, 255))


@pytest.fixture
def emoji() -> list[Emoji]:
    found = []
    for index, (name, shape) in enumerate(SHAPES.items()):
        picture = Image.new("RGBA", (64, 64))
        inset = 4 + 3 * index
        getattr(ImageDraw.Draw(picture), shape)((inset, 6, 63 - inset, 60), fill=FILLS[index])
        found.append(Emoji(name, "Test", (f"little {name}",), ("thing", f"keyword {name}"), picture))
    return found


@pytest.fixture
def preset():
    stage = StageSettings(steps=2, minutes=5, batch_size=2, learning_rate=1e-3, ema_decay=0.9, warmup_steps=1)
    return replace(
        CPU,
        size=32,
        vocabulary_size=600,
        vae_channels=(16, 16, 16, 16),
        unet_channels=(32, 32),
        unet_layers=1,
        text_width=64,
        text_layers=2,
        latent_scenes=8,
        workers=0,
        vae=stage,
        decoder=stage,
        text=stage,
        unet=stage,
    )


@pytest.fixture
def words(emoji):
    return tokenizer.build_tokenizer(emoji, 900)


def scene_at(emoji, index, kind="single"):
    return scenes.random_scene(scenes.scene_random(3, index), emoji, kind=kind)


def test_same_seed_gives_the_same_scene_and_caption(emoji):
    captioner = Captioner(emoji)
    for index in range(20):
        assert scene_at(emoji, index) == scene_at(emoji, index)
        scene = scene_at(emoji, index)
        texts = {captioner.caption(scenes.scene_random(9, index), scene) for _ in range(2)}
        assert len(texts) == 1
        assert np.array_equal(scenes.draw(scene, emoji, 32), scenes.draw(scene, emoji, 32))


def test_another_seed_gives_another_scene(emoji):
    assert len({scene_at(emoji, index) for index in range(20)}) == 20


@pytest.mark.parametrize("kind", ["single", "tinted", "pair"])
def test_training_scenes_never_use_a_held_out_pair(emoji, kind):
    for index in range(300):
        scene = scene_at(emoji, index, kind)
        for placement in scene.placements:
            assert not scenes.is_held_out(emoji[placement.emoji].name, scene.background)


def test_evaluation_asks_only_for_held_out_pairs(emoji):
    questions = evaluate.held_out_questions([one.name for one in emoji], 50)
    assert questions
    for question in questions:
        assert scenes.is_held_out(question.name, question.background)
        assert question.name in question.prompt
        assert question.background in question.prompt


def test_about_a_tenth_of_all_pairs_is_held_out():
    names = [f"object {index}" for index in range(400)]
    share = np.mean([scenes.is_held_out(name, colour) for name in names for colour in scenes.COLOURS])
    assert 0.08 < share < 0.12


def test_captions_name_every_object_or_a_synonym(emoji):
    captioner = Captioner(emoji)
    for index in range(100):
        scene = scene_at(emoji, index, "pair")
        text = captioner.caption(scenes.scene_random(4, index), scene)
        for placement in scene.placements:
            assert emoji[placement.emoji].name in text
        assert " and " in text


def test_named_colours_are_not_tinted():
    assert scenes.can_be_tinted("dog")
    assert not scenes.can_be_tinted("red apple")


@pytest.mark.parametrize(("words", "expected"), [("apple", "an"), ("dog", "a"), ("unicorn", "a"), ("owl", "an")])
def test_articles_follow_the_spelling(words, expected):
    assert article(words) == expected


def test_background_is_the_colour_asked_for(emoji):
    for index in range(40):
        scene = scene_at(emoji, index)
        assert evaluate.background_of(scenes.draw(scene, emoji, 64)) == scene.background


def test_background_metric_tells_a_wrong_colour():
    picture = np.full((32, 32, 3), scenes.COLOURS["blue"], dtype=np.uint8)
    picture[10:22, 10:22] = scenes.COLOURS["red"]
    assert evaluate.background_of(picture) == "blue"


def test_retrieval_finds_the_drawn_object_on_any_background(emoji):
    retrieval = evaluate.Retrieval(emoji)
    for index in range(20):
        scene = scene_at(emoji, index)
        assert retrieval.ranking(scenes.draw(scene, emoji, 64))[0] == emoji[scene.placements[0].emoji].name


def test_tokenizer_survives_saving_in_both_layouts(words, tmp_path):
    from transformers import CLIPTokenizer

    text = ["A red apple on a blue background, 4k Zürich xylophone"]
    expected = tokenizer.token_ids(words, text)
    tokenizer.save_tokenizer(words, tmp_path)
    assert tokenizer.token_ids(CLIPTokenizer.from_pretrained(tmp_path), text) == expected
    (tmp_path / "tokenizer.json").unlink()
    assert tokenizer.token_ids(CLIPTokenizer.from_pretrained(tmp_path), text) == expected


def test_tokenizer_starts_ends_and_pads_as_clip_does(words):
    ids = tokenizer.token_ids(words, ["a dog"])[0]
    assert len(ids) == 77
    assert ids[0] == words.bos_token_id
    assert ids[-1] == words.eos_token_id == len(words) - 1
    assert words.decode(ids, skip_special_tokens=True) == "a dog"


def test_budget_ends_by_steps_with_a_learning_rate_of_zero():
    settings = StageSettings(steps=10, minutes=5, batch_size=1, learning_rate=1.0, ema_decay=0.9, warmup_steps=2)
    budget = Budget(settings)
    rates = []
    for _ in range(10):
        rates.append(budget.learning_rate)
        budget.tick()
    assert rates[0] < rates[1]
    assert budget.fraction == 1
    assert budget.learning_rate == pytest.approx(0, abs=1e-9)


def test_orthogonal_matrices_have_singular_values_near_one():
    generator = torch.Generator().manual_seed(0)
    for shape in ((2, 16, 40), (2, 40, 16)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape, generator=generator)))
        assert values.min() > 0.3
        assert values.max() < 1.4


def test_optimizer_fits_a_line_and_restores_its_state():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(32, 32), torch.nn.Linear(32, 1))
    inputs = torch.randn(64, 32)
    target = inputs.sum(1, keepdim=True)
    chosen = build_optimizer(network, 0.02)
    losses = []
    for _ in range(60):
        loss = (network(inputs) - target).square().mean()
        chosen.zero_grad()
        loss.backward()
        chosen.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    restored = build_optimizer(network, 0.02)
    restored.load_state_dict(chosen.state_dict())
    restored.step()


def test_every_curated_object_is_named_once():
    assert len(read_objects()) > 100


def test_archives_are_named_as_npm_names_them():
    assert archive_name("@lobehub/fluent-emoji-3d@1.1.0") == "lobehub-fluent-emoji-3d-1.1.0.tgz"


def test_gallery_prompts_are_the_same_every_time(emoji):
    objects = [{"name": one.name} for one in emoji]
    assert gallery.gallery_prompts(objects, 16) == gallery.gallery_prompts(objects, 16)


def saved_steps(work):
    names = ("vae", "decoder", "text", "unet")
    return [torch.load(work / f"{name}.pt", weights_only=True)["step"] for name in names]


def run_all(preset, emoji, words, work):
    device = torch.device("cpu")
    train_vae.train_vae(preset, emoji, work, 0, device)
    latents.encode_scenes(preset, emoji, work, 0, device)
    train_vae.train_decoder(preset, emoji, work, 0, device)
    train_text.train_text(preset, emoji, words, work, 0, device)
    train_unet.train_unet(preset, emoji, words, work, 0, device)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_every_stage_resumes_and_exports_a_folder_that_loads(preset, emoji, words, tmp_path, monkeypatch):
    monkeypatch.setattr(train_unet, "SHEET_STEPS", 2)
    monkeypatch.setattr(evaluate, "STEPS", 2)
    run_all(preset, emoji, words, tmp_path)
    assert saved_steps(tmp_path) == [2, 2, 2, 2]
    longer = replace(
        preset, **{name: replace(preset.unet, steps=3) for name in ("vae", "decoder", "text", "unet")}
    )
    run_all(longer, emoji, words, tmp_path)
    assert saved_steps(tmp_path) == [3, 3, 3, 3]

    out = tmp_path / "models" / "demo"
    out.mkdir(parents=True)
    (out / "README.md").write_text("kept")
    export.export(longer, emoji, words, tmp_path, out)
    assert (out / "README.md").read_text() == "kept"
    assert len(json.loads((out / "preview.json").read_text())["latent_rgb_factors"]) == 4
    assert json.loads((out / "easel.json").read_text())["native_size"] == 32
    assert json.loads((out / "vae/config.json").read_text())["scaling_factor"] == pytest.approx(
        latents.load_latents(tmp_path).scaling_factor
    )

    pipeline = evaluate.load_pipeline(out, "cpu")
    (picture,) = evaluate.generate(pipeline, ["a dog on a blue background"], cfg_scale=4.0)
    assert picture.shape == (32, 32, 3)
    assert pipeline.text_encoder.dtype == pipeline.unet.dtype == torch.float32
    assert np.isfinite(evaluate.vae_psnr(pipeline, emoji, 32))
