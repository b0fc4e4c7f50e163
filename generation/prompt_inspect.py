"""What a prompt turns into, for people: the same parsing as generation, laid open."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from generation.prompt import LoraArguments, Network, ParsedPrompt, lora_arguments, parse_attention, parse_prompt

ChunkTokens = Callable[[str], Sequence[Sequence[str]]]
"""The tokens of one text, per chunk of 75, as the text encoder gets them; from whoever has the tokenizer."""

CHUNK_LENGTH = 75
_LORA_KINDS = ("lora", "lyco")


@dataclass(frozen=True, slots=True)
class InspectedText:
    """One text of a schedule; `chunks` is empty where no tokenizer is at hand."""

    until_step: int
    text: str
    attention: tuple[tuple[str, float], ...]
    chunks: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class InspectedSubprompt:
    """One side of an AND."""

    weight: float
    schedule: tuple[InspectedText, ...]


@dataclass(frozen=True, slots=True)
class InspectedNetwork:
    """A network tag; `arguments` for LoRAs only, `is_known` None where nobody has looked."""

    kind: str
    name: str
    items: tuple[str, ...]
    arguments: LoraArguments | None
    is_known: bool | None


@dataclass(frozen=True, slots=True)
class PromptInspection:
    """Both prompts laid open. `token_count` is of the longest text, `token_limit` what fits its chunks."""

    subprompts: tuple[InspectedSubprompt, ...]
    negative: tuple[InspectedSubprompt, ...]
    networks: tuple[InspectedNetwork, ...]
    embeddings: tuple[str, ...]
    unknown: tuple[str, ...]
    warnings: tuple[str, ...]
    token_count: int
    token_limit: int
    negative_token_count: int
    negative_token_limit: int

    def as_dict(self) -> dict[str, Any]:  # Any: JSON values
        """Plain dicts and tuples, ready for JSON."""
        return asdict(self)


def inspect_prompt(
    prompt: str,
    negative_prompt: str = "",
    steps: int = 20,
    *,
    chunk_tokens: ChunkTokens | None = None,
    known_networks: Mapping[str, Collection[str]] | None = None,
    known_embeddings: Iterable[str] = (),
) -> PromptInspection:
    """Both prompts as generation would read them.

    `known_networks` are names by kind; what is not among them is listed as unknown. Raises InvalidRequest
    where generation would.
    """
    parsed = parse_prompt(prompt, steps)
    parsed_negative = parse_prompt(negative_prompt, steps, is_negative=True)
    subprompts = _subprompts(parsed, chunk_tokens)
    negative = _subprompts(parsed_negative, chunk_tokens)
    networks = tuple(_network(network, known_networks) for network in parsed.networks)
    count, limit = _token_count(subprompts)
    negative_count, negative_limit = _token_count(negative)
    return PromptInspection(
        subprompts,
        negative,
        networks,
        _embeddings(known_embeddings, (*subprompts, *negative)),
        tuple(dict.fromkeys(network.name for network in networks if network.is_known is False)),
        tuple(dict.fromkeys((*parsed.warnings, *parsed_negative.warnings))),
        count,
        limit,
        negative_count,
        negative_limit,
    )


def _subprompts(parsed: ParsedPrompt, chunk_tokens: ChunkTokens | None) -> tuple[InspectedSubprompt, ...]:
    known: dict[str, tuple[tuple[str, ...], ...]] = {}

    def chunks(text: str) -> tuple[tuple[str, ...], ...]:
        if chunk_tokens and text not in known:
            known[text] = tuple(tuple(chunk) for chunk in chunk_tokens(text))
        return known.get(text, ())

    return tuple(
        InspectedSubprompt(
            side.weight,
            tuple(
                InspectedText(step, text, tuple(parse_attention(text)), chunks(text))
                for step, text in side.schedule
            ),
        )
        for side in parsed.subprompts
    )


def _token_count(subprompts: Sequence[InspectedSubprompt]) -> tuple[int, int]:
    """Tokens of the longest text, full chunks before its last counted whole, and the room in its chunks."""
    texts = [text for side in subprompts for text in side.schedule]
    counts = [
        (CHUNK_LENGTH * (len(text.chunks) - 1) + len(text.chunks[-1]), CHUNK_LENGTH * len(text.chunks))
        for text in texts
        if text.chunks
    ]
    return max(counts, default=(0, CHUNK_LENGTH))


def _network(network: Network, known: Mapping[str, Collection[str]] | None) -> InspectedNetwork:
    arguments = lora_arguments(network) if network.kind in _LORA_KINDS else None
    name = arguments.name if arguments else network.items[0]
    is_known = None if known is None else name in known.get(network.kind, ())
    return InspectedNetwork(network.kind, name, network.items, arguments, is_known)


def _embeddings(known: Iterable[str], subprompts: Sequence[InspectedSubprompt]) -> tuple[str, ...]:
    """The known embeddings whose names stand as words in any of the texts."""
    texts = "\n".join(text.text for side in subprompts for text in side.schedule).casefold()
    return tuple(name for name in known if re.search(rf"(?<!\w){re.escape(name.casefold())}(?!\w)", texts))
