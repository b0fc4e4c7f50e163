"""Noise that belongs to a picture, not to a batch: picture k of a batch gets what it would get alone.

Every picture has its own generator, seeded with its seed; initial noise and all later noise come from it, in
this order, as in A1111.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from generation.request import GenerationRequest, NoiseSource

Shape = tuple[int, int, int]  # channels, height, width of one picture's latents


class NoiseGenerator:
    """A stream of unit Gaussian noise from one seed; NV and CPU give the same numbers on every device."""

    def __init__(self, seed: int, source: NoiseSource, device: torch.device) -> None:
        seed %= 2**64  # a seed delta or a count may lead past what generators take
        self._source = source
        self.device = device
        self._philox = Philox(seed) if source is NoiseSource.NV else None
        home = device if source is NoiseSource.GPU else torch.device("cpu")
        self._generator = torch.Generator(home).manual_seed(seed)

    def draw(self, shape: Shape) -> Tensor:
        """(channels, height, width) float32 on the device."""
        if self._philox is not None:
            return torch.from_numpy(self._philox.normal(shape)).to(self.device)
        return torch.randn(shape, generator=self._generator, device=self._generator.device).to(self.device)


class Philox:
    """The numbers of torch's CUDA generator, computed with numpy.

    Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), one counter a number,
    then Box-Muller on the first two words.
    """

    ROUNDS = 10
    MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
    KEY_STEPS = (0x9E3779B9, 0xBB67AE85)

    def __init__(self, seed: int) -> None:
        self._key = (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF)
        self._draws = 0

    def normal(self, shape: Sequence[int]) -> np.ndarray:
        """The next array of unit Gaussian float32 numbers."""
        count = int(np.prod(shape))
        words = self._words(count)
        self._draws += 1
        radius_word, angle_word = (words[0] + 0.5) / 2**32, (words[1] + 0.5) / 2**32
        numbers = np.sqrt(-2 * np.log(radius_word)) * np.sin(2 * np.pi * angle_word)
        return numbers.reshape(shape).astype(np.float32)

    def _words(self, count: int) -> tuple[np.ndarray, ...]:
        mask, high = np.uint64(0xFFFFFFFF), np.uint64(32)
        zeros = np.zeros(count, dtype=np.uint64)
        words = (zeros + np.uint64(self._draws), zeros, np.arange(count, dtype=np.uint64), zeros)
        key = self._key
        for _ in range(self.ROUNDS):
            first, second = words[0] * np.uint64(self.MULTIPLIERS[0]), words[2] * np.uint64(self.MULTIPLIERS[1])
            words = (
                (second >> high) ^ words[1] ^ np.uint64(key[0]),
                second & mask,
                (first >> high) ^ words[3] ^ np.uint64(key[1]),
                first & mask,
            )
            key = (key[0] + self.KEY_STEPS[0] & 0xFFFFFFFF, key[1] + self.KEY_STEPS[1] & 0xFFFFFFFF)
        return words


@dataclass(frozen=True, slots=True)
class PictureSeeds:
    """Seeds of one picture."""

    seed: int
    variation_seed: int


def picture_seeds(request: GenerationRequest) -> list[PictureSeeds]:
    """Seeds of all pictures: seed + k; with a variation, the seed stays and the variation seed counts up."""
    varies = request.variation_strength > 0
    first = max(request.variation_seed, 0)
    return [
        PictureSeeds(request.seed if varies else request.seed + k, first + k) for k in range(request.image_count)
    ]


class BatchNoise:
    """All noise of one batch: `first` for the start, then `next` or `between` for the samplers."""

    def __init__(
        self, request: GenerationRequest, seeds: Sequence[PictureSeeds], shape: Shape, device: torch.device
    ) -> None:
        self._request = request
        self._seeds = seeds
        self._shape = shape
        self._device = device
        self._generators = [self._generator(seed.seed) for seed in seeds]
        self._paths: list[BrownianPath] = []

    def first(self) -> Tensor:
        """Initial noise (batch, channels, height, width), with variation seed and seed resize applied."""
        noise = torch.stack([self._initial(k) for k in range(len(self._seeds))])
        if delta := self._request.sampling.eta_noise_seed_delta:
            self._generators = [self._generator(seed.seed + delta) for seed in self._seeds]
        return noise

    def of_seeds(self) -> Tensor:
        """What the plain seeds give first, without variation or resize: fills masks that ask for latent noise."""
        return torch.stack([self._generator(seed.seed).draw(self._shape) for seed in self._seeds])

    def next(self) -> Tensor:
        """Fresh noise for one step."""
        return torch.stack([generator.draw(self._shape) for generator in self._generators])

    def between(self, sigma: float, sigma_next: float) -> Tensor:
        """Brownian increment over [sigma_next, sigma] of each picture's own path, at unit variance."""
        if not self._paths:
            self._paths = [BrownianPath(generator, self._shape) for generator in self._generators]
        return torch.stack([path.between(sigma, sigma_next) for path in self._paths])

    def _generator(self, seed: int) -> NoiseGenerator:
        return NoiseGenerator(seed, self._request.noise_source, self._device)

    def _initial(self, k: int) -> Tensor:
        request, seeds, generator = self._request, self._seeds[k], self._generators[k]
        shape = self._shape
        if request.seed_resize_width:
            downscale = request.height // shape[1]
            shape = (shape[0], request.seed_resize_height // downscale, request.seed_resize_width // downscale)
        resized = shape != self._shape
        noise = (self._generator(seeds.seed) if resized else generator).draw(shape)
        if request.variation_strength > 0:
            noise = slerp(noise, self._generator(seeds.variation_seed).draw(shape), request.variation_strength)
        return paste_centred(noise, generator.draw(self._shape)) if resized else noise


class BrownianPath:
    """One picture's Brownian motion over sigma, drawn where it is asked for.

    Points inside a known interval are drawn from the Brownian bridge, so overlapping increments fit together;
    no tree and no end points are needed, as samplers walk downwards.
    """

    def __init__(self, generator: NoiseGenerator, shape: Shape) -> None:
        self._generator = generator
        self._shape = shape
        self._points: dict[float, Tensor] = {}

    def between(self, sigma: float, sigma_next: float) -> Tensor:
        """(W(sigma_next) - W(sigma)) / sqrt(sigma - sigma_next)."""
        if not self._points:
            self._points[sigma] = torch.zeros(self._shape, device=self._generator.device)
        for passed in sorted(known for known in self._points if known > sigma)[1:]:
            del self._points[passed]  # a walk never goes back up inside one path
        return (self._at(sigma_next) - self._at(sigma)) / abs(sigma - sigma_next) ** 0.5

    def _at(self, sigma: float) -> Tensor:
        if sigma not in self._points:
            above = min((known for known in self._points if known > sigma), default=None)
            below = max((known for known in self._points if known < sigma), default=None)
            self._points[sigma] = self._draw(sigma, above, below)
        return self._points[sigma]

    def _draw(self, sigma: float, above: float | None, below: float | None) -> Tensor:
        fresh = self._generator.draw(self._shape)
        if above is not None and below is not None:
            share = (above - sigma) / (above - below)
            mean = self._points[above] * (1 - share) + self._points[below] * share
            return mean + fresh * ((above - sigma) * (sigma - below) / (above - below)) ** 0.5
        nearest = above if below is None else below
        assert nearest is not None  # `between` puts a first point
        return self._points[nearest] + fresh * abs(nearest - sigma) ** 0.5


def slerp(low: Tensor, high: Tensor, weight: float) -> Tensor:
    """Spherical interpolation of two noises (channels, height, width), along the height as A1111 does it."""
    cosine = (low / low.norm(dim=1, keepdim=True) * (high / high.norm(dim=1, keepdim=True))).sum(1)
    if cosine.mean() > 0.9995:
        return low * (1 - weight) + high * weight
    angle = cosine.acos()
    shares = ((1 - weight) * angle).sin() / angle.sin(), (weight * angle).sin() / angle.sin()
    return shares[0].unsqueeze(1) * low + shares[1].unsqueeze(1) * high


def paste_centred(noise: Tensor, canvas: Tensor) -> Tensor:
    """`noise` laid over the middle of `canvas`, cropped where it is larger: what "seed resize" means."""
    result = canvas.clone()
    target, source = [slice(None)], [slice(None)]
    for have, want in zip(noise.shape[1:], canvas.shape[1:], strict=True):
        offset = (want - have) // 2 if want >= have else -((have - want) // 2)
        size = min(have, want)
        target.append(slice(max(offset, 0), max(offset, 0) + size))
        source.append(slice(max(-offset, 0), max(-offset, 0) + size))
    result[tuple(target)] = noise[tuple(source)]
    return result
