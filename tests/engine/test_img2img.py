from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from engine.components import Components
from generation.errors import InvalidRequest
from generation.request import Img2Img, Inpaint, MaskedContent, ResizeMode
from tests.engine import tiny
from tests.engine.pictures import box_mask, noise_image, png
from tests.engine.tiny import difference, pictures


@pytest.fixture(scope="module")
def model() -> Components:
    return tiny.components()


def img2img(strength: float = 0.75, **changes: Any) -> Img2Img:
    return Img2Img(**{"init_images": (png(noise_image()),), "denoising_strength": strength, **changes})


@pytest.mark.parametrize(("strength", "steps"), [(1.0, 20), (0.75, 16), (0.5, 11), (0.1, 3), (0.01, 1)])
def test_denoising_strength_walks_as_many_steps_as_in_a1111(model: Components, strength: float, steps: int):
    recorder = tiny.Recorder()
    pictures(model, recorder, steps=20, img2img=img2img(strength))
    assert len(recorder.steps) == steps


def test_more_strength_changes_the_picture_more(model: Components):
    [source] = pictures(model, img2img=img2img(0))
    distances = []
    for strength in (0.1, 0.5, 0.9):
        [picture] = pictures(model, steps=20, cfg_scale=1, img2img=img2img(strength))
        distances.append(np.abs(picture.pixels.astype(int) - source.pixels).mean())
    assert distances == sorted(distances)
    assert distances[0] < distances[2]


def test_strength_zero_gives_the_picture_back_through_the_autoencoder(model: Components):
    from engine.init_image import to_tensor
    from engine.latents import decode, encode

    recorder = tiny.Recorder()
    [picture] = pictures(model, recorder, img2img=img2img(0))
    with torch.inference_mode():
        expected = decode(model, encode(model, to_tensor(noise_image())[None])[0])
    assert (picture.pixels == expected).all()
    assert recorder.steps == []


@pytest.mark.parametrize("sampler", ["Euler a", "DDIM", "UniPC", "PLMS"])
def test_img2img_works_with_every_kind_of_grid(model: Components, sampler: str):
    [picture] = pictures(model, sampler=sampler, steps=10, img2img=img2img(0.5))
    assert picture.pixels.shape == (64, 64, 3)


@pytest.mark.parametrize("mode", list(ResizeMode))
def test_init_images_are_fitted_to_the_request(model: Components, mode: ResizeMode):
    settings = img2img(0.5, init_images=(png(noise_image(50, 90)),), resize_mode=mode)
    [picture] = pictures(model, img2img=settings)
    assert picture.pixels.shape == (64, 64, 3)


def test_init_images_are_used_in_turn(model: Components):
    first, second = png(noise_image(seed=1)), png(noise_image(seed=2))
    both = pictures(model, batch_size=3, seed=4, img2img=img2img(0.3, init_images=(first, second)))
    [alone] = pictures(model, seed=5, img2img=img2img(0.3, init_images=(second,)))
    assert difference(both[1], alone) <= 1


@pytest.mark.parametrize("content", list(MaskedContent))
@pytest.mark.parametrize("only_masked", [False, True])
def test_inpainting_keeps_what_is_outside_the_mask(model: Components, content: MaskedContent, only_masked: bool):
    image = noise_image(64, 64, seed=3)
    inpaint = Inpaint(
        mask=png(box_mask()), blur_x=2, blur_y=2, content=content, only_masked=only_masked, padding=4
    )
    [picture] = pictures(model, steps=4, img2img=img2img(0.9, init_images=(png(image),), inpaint=inpaint))
    outside = np.ones((64, 64), dtype=bool)
    outside[8:56, 8:56] = False
    assert (picture.pixels[outside] == np.asarray(image)[outside]).all()
    assert (picture.pixels[20:44, 20:44] != np.asarray(image)[20:44, 20:44]).any()


def test_an_inpainting_model_gets_the_mask_and_the_kept_part():
    model = tiny.components(in_channels=9)
    seen: list[torch.Tensor] = []

    class Watching:
        config = model.unet.config

        def __call__(self, sample: torch.Tensor, *args: Any, **options: Any) -> Any:
            seen.append(sample)
            return model.unet(sample, *args, **options)

    watched = tiny.with_unet(model, Watching())
    inpaint = Inpaint(mask=png(box_mask()), blur_x=0, blur_y=0)
    pictures(watched, batch_size=2, img2img=img2img(0.9, inpaint=inpaint))
    mask = seen[0][:, 4]
    assert seen[0].shape == (4, 9, 8, 8)
    assert mask[:, 2:6, 2:6].min() == 1
    assert mask.sum() == 4 * 16
    seen.clear()
    pictures(watched)
    assert seen[0][:, 4].min() == 1
    seen.clear()
    pictures(watched, img2img=img2img(0.5))  # without a mask: all of it
    assert seen[0][:, 4].min() == 1


def test_init_images_that_are_no_pictures_are_refused(model: Components):
    with pytest.raises(InvalidRequest, match=r"img2img\.init_images"):
        pictures(model, img2img=img2img(init_images=(b"nonsense",)))


def test_transparent_init_images_count_as_on_white(model: Components):
    clear = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    white = Image.new("RGB", (64, 64), "white")
    first, second = (pictures(model, img2img=img2img(0.3, init_images=(png(image),))) for image in (clear, white))
    assert difference(*first, *second) == 0


def test_only_the_init_images_in_use_are_read(model: Components):
    settings = img2img(0.3, init_images=(png(noise_image()), b"never looked at"))
    assert len(pictures(model, img2img=settings)) == 1


def test_a_stop_while_pictures_are_encoded_ends_the_job(model: Components):
    recorder = tiny.Recorder()
    recorder.stop.now(keep=True)
    settings = img2img(0.3, init_images=(b"never looked at",))
    assert pictures(model, recorder, img2img=settings) == []
