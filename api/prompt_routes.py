"""What a prompt means: how it is split, scheduled and weighted, before any picture is made of it."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.access import ServicesOf
from api.schemas import Payload
from generation.prompt import Network, parse_prompt
from generation.prompt_attention import parse_attention
from service.catalog import Catalog
from service.lora_choice import LoraChoice, choose_loras, lora_of

MAX_CHARACTERS = 20_000
MAX_STEPS = 200


class PromptBody(Payload):
    """A prompt and the number of steps that its schedules are spread over."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"prompt": "a [cat:dog:0.5] (in a hat:1.3)", "steps": 20}]}
    )

    prompt: str = Field(max_length=MAX_CHARACTERS)
    steps: int = Field(20, ge=1, le=MAX_STEPS)
    is_negative: bool = Field(False, description="Negative prompts know no AND and no <lora:…>.")


class Part(BaseModel):
    """A piece of text and its weight; 1 = neither stronger nor weaker."""

    text: str
    weight: float


class Span(BaseModel):
    """What is painted up to and including step `until_step`."""

    until_step: int
    text: str
    parts: list[Part]


class InspectedSubprompt(BaseModel):
    """One side of an AND."""

    weight: float
    schedule: list[Span]


class InspectedNetwork(BaseModel):
    """An extra network like `<lora:name:0.8>`. `file` is the LoRA it means; null if there is none."""

    kind: str
    items: list[str]
    file: str | None = None


class InspectedPrompt(BaseModel):
    """The prompt as it will be understood, and sentences about likely slips."""

    subprompts: list[InspectedSubprompt]
    networks: list[InspectedNetwork]
    warnings: list[str]


def router() -> APIRouter:
    """Routes below /api/v1."""
    routes = APIRouter(prefix="/api/v1/prompt", tags=["prompts"])
    add = routes.add_api_route
    add(
        "/inspect", inspect, methods=["POST"], response_model=InspectedPrompt, summary="How a prompt is understood"
    )
    return routes


async def inspect(services: ServicesOf, body: PromptBody) -> InspectedPrompt:
    """Splits at AND, spreads `[from:to:when]` over the steps, reads `(word:1.3)`; `BREAK` has the weight -1."""
    return await asyncio.to_thread(_inspected, body, services.catalog)


def _inspected(body: PromptBody, catalog: Catalog) -> InspectedPrompt:
    choice = LoraChoice() if body.is_negative else choose_loras(body.prompt, catalog)
    parsed = parse_prompt(body.prompt, body.steps, is_negative=body.is_negative)
    return InspectedPrompt(
        subprompts=[
            InspectedSubprompt(
                weight=subprompt.weight,
                schedule=[
                    Span(until_step=span.until_step, text=span.text, parts=_parts(span.text))
                    for span in subprompt.schedule
                ],
            )
            for subprompt in parsed.subprompts
        ],
        networks=[_network(network, catalog) for network in parsed.networks],
        warnings=[*parsed.warnings, *choice.warnings],
    )


def _network(network: Network, catalog: Catalog) -> InspectedNetwork:
    card = lora_of(network, catalog)
    return InspectedNetwork(kind=network.kind, items=list(network.items), file=card.filename if card else None)


def _parts(text: str) -> list[Part]:
    return [Part(text=part, weight=weight) for part, weight in parse_attention(text)]
