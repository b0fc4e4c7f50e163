"""Text to embeddings, with A1111's semantics: emphasis, BREAK, chunks of 75 tokens, clip skip."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import StrEnum

import torch
from torch import Tensor

from engine.components import Components
from generation.errors import InvalidRequest
from generation.prompt import ParsedPrompt, Subprompt, active_text, is_break, parse_attention

COMMA_BACKTRACK = 20  # tokens


class Emphasis(StrEnum):
    """What a weight such as (word:1.2) does to the embeddings; the names are A1111's."""

    ORIGINAL = "Original"  # multiply, then restore the mean of the chunk
    NO_NORM = "No norm"  # multiply
    IGNORE = "Ignore"  # parse the brackets, use no weights


@dataclass(slots=True)
class Chunk:
    """Up to 75 tokens of a prompt with their weights; start, end and padding are added when encoding."""

    tokens: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def cut(self, position: int) -> Chunk:
        """Everything from `position` on, taken out."""
        rest = Chunk(self.tokens[position:], self.weights[position:])
        del self.tokens[position:], self.weights[position:]
        return rest


@dataclass(frozen=True)
class EncodedPrompt:
    """The sides of a prompt with the embeddings of all texts they will use: text -> (tokens, features)."""

    subprompts: tuple[Subprompt, ...]
    embeddings: dict[str, Tensor]

    @property
    def weights(self) -> tuple[float, ...]:
        """The AND weight of each side."""
        return tuple(side.weight for side in self.subprompts)

    def texts_at(self, call: int) -> tuple[str, ...]:
        """The text of each side at model call `call`, counted from 0."""
        return tuple(active_text(side.schedule, call) for side in self.subprompts)


class Conditioner:
    """Encodes texts with the model's text encoder and remembers the latest ones."""

    def __init__(
        self, components: Components, emphasis: Emphasis = Emphasis.ORIGINAL, cache_size: int = 64
    ) -> None:
        self._components = components
        self._emphasis = emphasis
        self._cache_size = cache_size
        self._cache: OrderedDict[tuple[str, int], Tensor] = OrderedDict()
        tokenizer = components.tokenizer
        self._comma = tokenizer.get_vocab().get(",</w>")
        self.chunk_length: int = components.text_encoder.config.max_position_embeddings - 2

    def encode_prompt(self, parsed: ParsedPrompt, clip_skip: int = 1) -> EncodedPrompt:
        """Embeddings of everything a parsed prompt will ask for during sampling."""
        texts = dict.fromkeys(entry.text for side in parsed.subprompts for entry in side.schedule)
        return EncodedPrompt(parsed.subprompts, {text: self.encode(text, clip_skip) for text in texts})

    def encode(self, text: str, clip_skip: int = 1) -> Tensor:
        """Embedding (chunks * 77, features) of one text, in the model's dtype on its device.

        `clip_skip` counts as A1111 does: 1 = last layer, 2 = the one before, with the final layer norm.
        Raises InvalidRequest if the text encoder has fewer layers.
        """
        key = (text, clip_skip)
        if key not in self._cache:
            self._cache[key] = self._encode(self.chunks(text), clip_skip)
        self._cache.move_to_end(key)
        while len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)
        return self._cache[key]

    def chunks(self, text: str) -> list[Chunk]:
        """The text in chunks of at most 75 tokens; at least one.

        When a chunk fills up within 20 tokens after a comma, what follows the comma moves to the next chunk, so
        that no phrase is torn apart. BREAK starts a new chunk.
        """
        chunks = [Chunk()]
        for run in parse_attention(text):
            if is_break(run):
                chunks.append(Chunk())
                continue
            tokens: list[int] = self._components.tokenizer(
                run[0], add_special_tokens=False, verbose=False
            ).input_ids
            for token in tokens:
                self._append(chunks, token, run[1])
        # A BREAK at the very end opens no chunk of its own.
        return chunks[:-1] if len(chunks) > 1 and not chunks[-1].tokens else chunks

    def _append(self, chunks: list[Chunk], token: int, weight: float) -> None:
        if len(chunks[-1].tokens) == self.chunk_length:
            full = chunks[-1].tokens
            recent = [place for place, known in enumerate(full) if known == self._comma and known is not None]
            is_near = recent and self.chunk_length - recent[-1] <= COMMA_BACKTRACK
            moves = is_near and token != self._comma
            rest = chunks[-1].cut(recent[-1] + 1) if moves else Chunk()
            chunks.append(rest)
        chunks[-1].tokens.append(token)
        chunks[-1].weights.append(weight)

    @torch.inference_mode()
    def _encode(self, chunks: list[Chunk], clip_skip: int) -> Tensor:
        tokenizer, device = self._components.tokenizer, self._components.device
        start, end, pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
        rows, weights = [], []
        for chunk in chunks:
            room = self.chunk_length - len(chunk.tokens)
            rows.append([start, *chunk.tokens, end, *[end if pad is None else pad] * room])
            weights.append([1.0, *chunk.weights, 1.0, *[1.0] * room])
        hidden = self._hidden(torch.tensor(rows, device=device), clip_skip)
        if self._emphasis is not Emphasis.IGNORE and any(weight != 1 for row in weights for weight in row):
            hidden = self._emphasize(hidden, torch.tensor(weights, device=device))
        return hidden.flatten(0, 1).to(self._components.dtype)

    def _hidden(self, rows: Tensor, clip_skip: int) -> Tensor:
        encoder = self._components.text_encoder
        layers: int = encoder.config.num_hidden_layers
        if clip_skip > layers:
            message = f"Clip skip {clip_skip} is more than the {layers} layers of this model's text encoder."
            raise InvalidRequest(message, f"Use 1 to {layers}.", "clip_skip")
        output = encoder(rows, output_hidden_states=clip_skip > 1)
        if clip_skip == 1:
            return output.last_hidden_state
        # transformers 5 has no `text_model` inside of CLIPTextModel any more; other classes still do.
        normalize = getattr(encoder, "text_model", encoder).final_layer_norm
        return normalize(output.hidden_states[-clip_skip])

    def _emphasize(self, hidden: Tensor, weights: Tensor) -> Tensor:
        hidden = hidden.float()
        weighted = hidden * weights.unsqueeze(-1)
        if self._emphasis is Emphasis.NO_NORM:
            return weighted
        return weighted * (hidden.mean((1, 2), keepdim=True) / weighted.mean((1, 2), keepdim=True))
