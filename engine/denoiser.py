"""A U-Net as a function (x, sigma) -> x0, guided by prompts."""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm

import torch
from torch import Tensor

from engine.components import Components
from engine.conditioning import EncodedPrompt
from engine.guidance import combine, needs_unconditional, rescale
from engine.model_sigmas import ModelSigmas

LONGEST_REPETITION = 4  # times the longest prompt; beyond, prompts get calls of their own


@dataclass(frozen=True, slots=True)
class Guidance:
    """How strongly the prompt steers. `cfg_scale` 1 is off.

    `always_unconditional`: predict without prompt too where it would cancel out (CFG++ needs it for itself).
    """

    cfg_scale: float = 7.0
    rescale: float = 0.0
    always_unconditional: bool = False


class Denoiser:
    """Predicts x0 of noisy latents; made for one batch, as it counts its calls for prompt schedules.

    Latents are float32, the model runs in its own dtype. All sides of the prompt and the negative prompt, for
    all pictures of the batch, go through the U-Net in one call (unless their lengths are wildly unequal).
    `image_conditioning` (batch, channels, height, width) are the extra input channels of inpainting models.
    """

    def __init__(
        self,
        components: Components,
        prompt: EncodedPrompt,
        negative: EncodedPrompt,
        guidance: Guidance,
        image_conditioning: Tensor | None = None,
    ) -> None:
        self._components = components
        self._sigmas = ModelSigmas(components.alphas_cumprod)
        self._prompt = prompt
        self._negative = negative
        self._guidance = guidance
        self._image_conditioning = image_conditioning
        self._needs_unconditional = guidance.always_unconditional or needs_unconditional(
            prompt.weights, guidance.cfg_scale
        )
        self._unconditional: Tensor | None = None
        self._calls = 0
        self._embeddings = {**negative.embeddings, **prompt.embeddings}
        self._context: tuple[tuple[str, ...], Tensor | None] | None = None

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """x0 predicted from `x` (batch, channels, height, width) at noise level `sigma`."""
        predictions = self._predict(x, sigma, self._texts())
        self._calls += 1
        sides = predictions[: len(self._prompt.subprompts)]
        unconditional = self._unconditional = predictions[-1] if self._needs_unconditional else None
        guided = combine(sides, self._prompt.weights, unconditional, self._guidance.cfg_scale)
        if self._guidance.rescale and unconditional is not None:
            alone = combine(sides, self._prompt.weights, unconditional, 1)
            guided = rescale(guided, alone, x, sigma, self._guidance.rescale)
        return guided

    def unconditional(self) -> Tensor:
        """x0 predicted without the prompt, of the last call; needs `Guidance.always_unconditional`."""
        if self._unconditional is None:
            raise ValueError("nothing has been predicted without the prompt")
        return self._unconditional

    def _predict(self, x: Tensor, sigma: float, texts: tuple[str, ...]) -> Tensor:
        """x0 for each text: (texts, batch, channels, height, width)."""
        context = self._context_of(texts)
        if context is None:
            return torch.cat([self._predict(x, sigma, (text,)) for text in texts])
        model, count, batch = self._components, len(texts), len(x)
        scaled = (x / (sigma**2 + 1) ** 0.5).to(model.dtype)
        if self._image_conditioning is not None:
            scaled = torch.cat([scaled, self._image_conditioning.to(model.dtype)], 1)
        timestep = torch.full((count * batch,), self._sigmas.timestep(sigma), device=x.device)
        output = model.unet(
            scaled.repeat(count, 1, 1, 1),
            timestep,
            encoder_hidden_states=context.repeat_interleave(batch, 0),
            return_dict=False,
        )[0]
        output = output.float().unflatten(0, (count, batch))
        if model.prediction_type == "v_prediction":
            return x / (sigma**2 + 1) - output * (sigma / (sigma**2 + 1) ** 0.5)
        return x - output * sigma

    def _texts(self) -> tuple[str, ...]:
        """Prompt sides, then the negative prompt if it is needed, at this call."""
        texts = self._prompt.texts_at(self._calls)
        return (*texts, *self._negative.texts_at(self._calls)) if self._needs_unconditional else texts

    def _context_of(self, texts: tuple[str, ...]) -> Tensor | None:
        """Embeddings (texts, tokens, features), kept as long as the texts stay the same; None if too unequal."""
        if self._context is None or self._context[0] != texts:
            embeddings = [self._embeddings[text] for text in texts]
            self._context = texts, stack_embeddings(embeddings)
        return self._context[1]


def stack_embeddings(embeddings: list[Tensor]) -> Tensor | None:
    """Embeddings of different lengths (tokens, features) as one tensor, each repeated to a common length.

    Attention over a context that is repeated as a whole gives exactly what it gives over the context once:
    so prompts of unequal length need neither padding, which would change the picture, nor calls of their own.
    None where the common length would be out of all proportion, as with 7, 11 and 13 chunks.
    """
    lengths = [len(embedding) for embedding in embeddings]
    common = lcm(*lengths)
    if common > LONGEST_REPETITION * max(lengths):
        return None
    return torch.stack([embedding.repeat(common // len(embedding), 1) for embedding in embeddings])
