from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.noise import BatchNoise, NoiseGenerator, Philox, paste_centred, picture_seeds, slerp
from generation.request import NoiseSource
from tests.engine import tiny
from tests.engine.gaussian import noise_of

CPU = torch.device("cpu")
SHAPE = (4, 8, 8)


def batch_noise(**changes: object) -> BatchNoise:
    request = tiny.request(**changes)
    return BatchNoise(request, picture_seeds(request), SHAPE, CPU)


def test_cpu_noise_is_that_of_torch():
    torch.manual_seed(42)
    assert torch.equal(NoiseGenerator(42, NoiseSource.CPU, CPU).draw(SHAPE), torch.randn(SHAPE))


def test_nv_noise_is_that_of_a_cuda_device():
    numbers = Philox(0).normal((4,))
    np.testing.assert_allclose(numbers, [-0.92466, -0.42534, -2.64385, 0.14518], atol=5e-6)


def test_nv_noise_is_unit_gaussian_and_never_repeats():
    philox = Philox(2**40 + 3)
    first, second = philox.normal((4, 64, 64)), philox.normal((4, 64, 64))
    assert abs(first.mean()) < 0.02
    assert first.std() == pytest.approx(1, abs=0.02)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, Philox(3).normal((4, 64, 64)))  # the upper half of the seed counts


@pytest.mark.parametrize("source", list(NoiseSource))
def test_picture_k_of_a_batch_gets_the_noise_of_seed_plus_k(source: NoiseSource):
    batch = batch_noise(seed=10, batch_size=3, noise_source=source)
    alone = batch_noise(seed=12, noise_source=source)
    for draw in ("first", "next", "next"):
        assert torch.equal(getattr(batch, draw)()[2], getattr(alone, draw)()[0])
    assert torch.equal(batch.between(5.0, 3.0)[2], alone.between(5.0, 3.0)[0])


def test_with_a_variation_the_seed_stays_and_the_variation_seed_counts():
    request = tiny.request(seed=5, variation_seed=100, variation_strength=0.3, batch_size=2, batch_count=2)
    seeds = picture_seeds(request)
    assert [(s.seed, s.variation_seed) for s in seeds] == [(5, 100), (5, 101), (5, 102), (5, 103)]


def test_variation_goes_from_one_noise_to_the_other():
    plain = batch_noise(seed=5).first()
    other = batch_noise(seed=100).first()
    full = batch_noise(seed=5, variation_seed=100, variation_strength=1.0).first()
    half = batch_noise(seed=5, variation_seed=100, variation_strength=0.5).first()
    torch.testing.assert_close(full, other, rtol=1e-4, atol=1e-4)
    assert 0.8 < float(half.std()) < 1.2  # a plain average would have 0.71
    assert float((half - plain).norm()) == pytest.approx(float((half - other).norm()), rel=0.3)


def test_slerp_of_equal_noises_is_that_noise():
    noise = torch.randn(SHAPE)
    torch.testing.assert_close(slerp(noise, noise, 0.4), noise)


def test_seed_resize_keeps_the_middle_of_the_smaller_picture():
    small = batch_noise(seed=3, width=64, height=64).first()
    request = tiny.request(seed=3, width=96, height=64, seed_resize_width=64, seed_resize_height=64)
    wide = BatchNoise(request, picture_seeds(request), (4, 8, 12), CPU).first()
    assert torch.equal(wide[0, :, :, 2:10], small[0])
    assert not torch.equal(wide[0, :, :, :2], torch.zeros(4, 8, 2))


def test_pasting_larger_noise_crops_it():
    noise = torch.arange(36.0).reshape(1, 6, 6)
    assert torch.equal(paste_centred(noise, torch.zeros(1, 4, 4)), noise[:, 1:5, 1:5])


def test_seed_delta_changes_later_noise_only():
    plain, shifted = batch_noise(seed=5), batch_noise(seed=5, sampling={"eta_noise_seed_delta": 31337})
    assert torch.equal(plain.first(), shifted.first())
    assert torch.equal(shifted.next()[0], NoiseGenerator(5 + 31337, NoiseSource.CPU, CPU).draw(SHAPE))


def test_noise_of_seeds_does_not_disturb_the_stream():
    noise, other = batch_noise(), batch_noise()
    assert torch.equal(noise.of_seeds(), noise.first())
    other.first()
    assert torch.equal(noise.next(), other.next())


def test_brownian_increments_have_unit_variance_and_overlap_consistently():
    noise = noise_of([1], (4, 64, 64))
    half, whole = noise.between(10.0, 6.0), noise.between(10.0, 2.0)
    rest = noise.between(6.0, 2.0)
    for increment in (half, whole, rest):
        assert float(increment.std()) == pytest.approx(1, abs=0.03)
    torch.testing.assert_close(whole * 8**0.5, half * 4**0.5 + rest * 4**0.5, rtol=1e-4, atol=1e-4)


def test_brownian_bridge_is_drawn_inside_a_known_interval():
    noise = noise_of([1], (4, 64, 64))
    whole = noise.between(10.0, 2.0)
    part = noise.between(10.0, 6.0)
    assert float(part.std()) == pytest.approx(1, abs=0.03)
    assert float((part * whole).mean()) == pytest.approx((4 / 8) ** 0.5, abs=0.03)


def test_brownian_increments_of_separate_intervals_are_independent():
    noise = noise_of([1], (4, 64, 64))
    first, second = noise.between(10.0, 6.0), noise.between(6.0, 2.0)
    assert abs(float((first * second).mean())) < 0.03
    assert noise.between(1.5, 1.0).shape == (1, 4, 64, 64)  # a gap between intervals is no trouble
