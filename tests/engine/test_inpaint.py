from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from engine.inpaint import crop_box, fill, latent_mask, prepare, read_mask
from generation.errors import InvalidRequest
from generation.request import Inpaint, MaskedContent, ResizeMode
from tests.engine.pictures import box_mask, noise_image, png


def settings(**changes: object) -> Inpaint:
    return Inpaint(**{"mask": png(box_mask()), "blur_x": 0, "blur_y": 0, **changes})


def test_a_mask_is_rounded_and_can_be_inverted():
    grey = Image.new("L", (4, 1), 0)
    for x, level in enumerate((0, 128, 129, 255)):
        grey.putpixel((x, 0), level)
    mask = read_mask(settings(mask=png(grey)), (4, 1))
    assert np.asarray(mask)[0].tolist() == [0, 0, 255, 255]
    assert np.asarray(read_mask(settings(mask=png(grey), invert=True), (4, 1)))[0].tolist() == [255, 255, 0, 0]
    assert np.asarray(read_mask(settings(mask=png(grey), round_mask=False), (4, 1)))[0].tolist() == [
        0,
        128,
        129,
        255,
    ]


def test_the_alpha_of_a_brush_layer_is_the_mask():
    layer = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    layer.putpixel((1, 0), (0, 0, 0, 255))
    assert np.asarray(read_mask(settings(mask=png(layer)), (2, 1)))[0].tolist() == [0, 255]


def test_an_opaque_rgba_mask_is_read_by_brightness():
    assert read_mask(settings(mask=png(box_mask().convert("RGBA"))), (64, 64)).tobytes() == box_mask().tobytes()


def test_blur_goes_in_each_direction_by_itself():
    mask = np.asarray(read_mask(settings(blur_x=8), (64, 64)))
    assert 0 < mask[32, 14] < 255
    assert mask[14, 32] == 0


def test_a_mask_of_another_size_is_fitted_to_the_picture():
    assert read_mask(settings(mask=png(box_mask(128, 128, (32, 32, 96, 96)))), (64, 64)).size == (64, 64)


@pytest.mark.parametrize("only_masked", [False, True])
@pytest.mark.parametrize("blur", [0, 4])
def test_pixels_outside_the_mask_stay_bit_identical(only_masked: bool, blur: int):
    image = noise_image(96, 64)
    mask = box_mask(96, 64, (16, 16, 48, 48))
    canvas = prepare(
        image,
        settings(mask=png(mask), only_masked=only_masked, blur_x=blur, blur_y=blur),
        ResizeMode.JUST_RESIZE,
        96,
        64,
    )
    result = np.asarray(canvas.compose(noise_image(96, 64, seed=9)))
    outside = np.asarray(canvas.opacity) == 0
    assert outside[0, 0]
    assert outside[60, 90]
    assert (result[outside] == np.asarray(image)[outside]).all()
    assert (result[20:44, 20:44] != np.asarray(image)[20:44, 20:44]).any()


def test_the_whole_picture_takes_the_asked_size_and_only_masked_keeps_the_original_size():
    image, mask = noise_image(100, 60), png(box_mask(100, 60, (20, 20, 40, 40)))
    whole = prepare(image, settings(mask=mask), ResizeMode.JUST_RESIZE, 64, 64)
    assert whole.compose(noise_image(64, 64)).size == (64, 64)
    part = prepare(image, settings(mask=mask, only_masked=True, padding=4), ResizeMode.JUST_RESIZE, 64, 64)
    assert part.image.size == part.mask.size == (64, 64)
    assert part.compose(noise_image(64, 64)).size == (100, 60)


def test_the_result_of_only_masked_is_pasted_where_it_was_cut():
    image = Image.new("RGB", (100, 60), "black")
    canvas = prepare(
        image,
        settings(mask=png(box_mask(100, 60, (20, 20, 40, 40))), only_masked=True, padding=4),
        ResizeMode.JUST_RESIZE,
        64,
        64,
    )
    white = np.asarray(canvas.compose(Image.new("RGB", (64, 64), "white")))[..., 0]
    assert white[20:40, 20:40].min() == 255
    assert white.sum() == 20 * 20 * 255


@pytest.mark.parametrize("aspect", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("box", [(0, 0, 8, 8), (90, 50, 100, 60), (40, 20, 60, 30), (0, 0, 100, 60)])
def test_the_crop_holds_the_mask_inside_the_picture(aspect: float, box: tuple[int, int, int, int]):
    left, top, right, bottom = crop_box(box_mask(100, 60, box), 8, aspect)
    assert 0 <= left <= box[0]
    assert box[2] <= right <= 100
    assert 0 <= top <= box[1]
    assert box[3] <= bottom <= 60
    if box == (40, 20, 60, 30) and aspect >= 1:
        assert (right - left) / (bottom - top) == pytest.approx(aspect, rel=0.05)


def test_an_empty_mask_with_only_masked_is_refused():
    empty = png(Image.new("L", (64, 64), 0))
    with pytest.raises(InvalidRequest, match="mask is empty"):
        prepare(noise_image(), settings(mask=empty, only_masked=True), ResizeMode.JUST_RESIZE, 64, 64)


def test_fill_takes_colours_from_around_and_keeps_the_rest():
    image = Image.new("RGB", (64, 64), (200, 40, 40))
    image.paste((0, 0, 255), (16, 16, 48, 48))
    filled = np.asarray(fill(image, box_mask()))
    assert np.abs(filled.astype(int) - [200, 40, 40]).max() <= 2
    noisy = noise_image()
    kept = np.asarray(box_mask()) == 0
    assert (np.asarray(fill(noisy, box_mask()))[kept] == np.asarray(noisy)[kept]).all()


def test_a_mask_over_everything_fills_without_a_crash():
    assert fill(noise_image(), Image.new("L", (64, 64), 255)).size == (64, 64)


@pytest.mark.parametrize("content", list(MaskedContent))
def test_original_content_is_shown_to_the_model_only_if_asked_for(content: MaskedContent):
    image = noise_image()
    canvas = prepare(image, settings(content=content), ResizeMode.JUST_RESIZE, 64, 64)
    assert (canvas.image.tobytes() == image.tobytes()) is (content is MaskedContent.ORIGINAL)


def test_the_latent_mask_is_rounded_unless_it_may_be_soft():
    soft = box_mask().resize((8, 8)).resize((64, 64), Image.Resampling.BILINEAR)
    rounded = latent_mask(soft, (4, 8, 8), is_rounded=True)
    assert rounded.shape == (1, 8, 8)
    assert set(rounded.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(rounded[0, 2:6, 2:6], torch.ones(4, 4))
    assert len(latent_mask(soft, (4, 8, 8), is_rounded=False).unique()) > 2
