"""Batches of encoded scenes with captions, for the text encoder's and the U-Net's training."""

import numpy as np
import torch
from transformers import CLIPTokenizer

from .captions import Captioner
from .data import Emoji
from .latents import LatentSet
from .scenes import scene_random
from .tokenizer import token_ids

CAPTION_SEED = 7_000_003


class CaptionedBatches:
    """Batches of latents with freshly written captions; batch n is always the same."""

    def __init__(
        self,
        latents: LatentSet,
        emoji: list[Emoji],
        tokenizer: CLIPTokenizer,
        seed: int,
        *,
        empty_share: float,
    ) -> None:
        self._set = latents
        self._empty_share = empty_share
        self._captioner = Captioner(emoji)
        self._tokenizer = tokenizer
        self._seed = seed

    def batch(self, step: int, size: int) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
        """Scene numbers, `(size, 4, h, w)` float32 latents and `(size, 77)` token ids."""
        random = scene_random(self._seed + CAPTION_SEED, step)
        chosen = random.integers(0, len(self._set.scenes), size=size)
        captions = [
            ""
            if random.random() < self._empty_share
            else self._captioner.caption(random, self._set.scenes[int(index)])
            for index in chosen
        ]
        latents = torch.from_numpy(self._set.latents[chosen].astype(np.float32))
        return chosen, latents, torch.tensor(token_ids(self._tokenizer, captions))
