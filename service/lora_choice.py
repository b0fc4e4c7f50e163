"""From the `<lora:…>` tags of a prompt to the files they mean."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from generation.errors import InvalidRequest, UnknownName
from generation.lora_use import SHORT_HASH_DIGITS, LoraUse
from generation.model_card import ModelCard, ModelKind
from generation.prompt import LoraArguments, Network, extract_networks, lora_arguments, strip_comments
from service.catalog import Catalog

LORA_KINDS = ("lora", "lyco")
MAX_LORAS = 100  # different names in one prompt
HIRES_LORAS = "The LoRAs of the prompt act in both passes; those of the hires prompt do nothing."
MAX_SHOWN = 80  # characters of a tag


@dataclass(frozen=True, slots=True)
class LoraChoice:
    """The LoRAs of a prompt, and sentences about tags that do nothing."""

    uses: tuple[LoraUse, ...] = ()
    warnings: tuple[str, ...] = ()


def choose_loras(prompt: str, catalog: Catalog, hires_prompt: str = "") -> LoraChoice:
    """The LoRAs that a prompt asks for, in its order; of one that is named twice the strengths add up.

    They act in both passes of hires fix; a prompt of the second pass that asks for others is warned of.
    As in A1111 a LoRA that is not there is left out, but not silently. Tags with bad numbers or of kinds that
    nobody knows are left to `parse_prompt`, which warns of them. Raises InvalidRequest for too many.
    """
    _, networks = extract_networks(strip_comments(prompt))
    warnings = [_no_hypernetwork(network) for network in networks if network.kind == "hypernet"]
    asked = list(_readable(networks))
    if hires_prompt and [*_readable(extract_networks(strip_comments(hires_prompt))[1])] != asked:
        warnings.append(HIRES_LORAS)
    if len({arguments.name for arguments in asked}) > MAX_LORAS:
        raise InvalidRequest(f"The prompt names more than {MAX_LORAS} LoRAs.", "Use fewer.", "prompt")
    uses: dict[object, LoraUse] = {}
    for arguments in asked:
        try:
            use = _use(arguments, catalog.find(arguments.name, ModelKind.LORA))
        except UnknownName as error:
            warnings.append(f"{error} The picture is made without it.")
            continue
        same = uses.get(key := (use.path, use.rank))
        uses[key] = use if same is None else _sum(same, use)
    return LoraChoice(tuple(uses.values()), tuple(dict.fromkeys(warnings)))


def lora_of(network: Network, catalog: Catalog) -> ModelCard | None:
    """The file that one tag means; None if it is no LoRA, cannot be read, or is not there."""
    for arguments in _readable([network]):
        try:
            return catalog.find(arguments.name, ModelKind.LORA)
        except UnknownName:
            break
    return None


def with_hash(use: LoraUse, catalog: Catalog) -> LoraUse:
    """The same with its file's hash, if that has become known since."""
    card = catalog.at(use.path, ModelKind.LORA)
    return replace(use, short_hash=_short_hash(card)) if card is not None and not use.short_hash else use


def _readable(networks: Iterable[Network]) -> Iterable[LoraArguments]:
    for network in networks:
        if network.kind in LORA_KINDS:
            try:
                yield lora_arguments(network)
            except InvalidRequest:
                continue


def _use(arguments: LoraArguments, card: ModelCard) -> LoraUse:
    return LoraUse(
        path=card.path,
        unet_strength=arguments.unet_weight,
        text_strength=arguments.text_encoder_weight,
        rank=arguments.rank,
        name=arguments.name.strip(),
        short_hash=_short_hash(card),
    )


def _sum(first: LoraUse, second: LoraUse) -> LoraUse:
    return replace(
        first,
        unet_strength=first.unet_strength + second.unet_strength,
        text_strength=first.text_strength + second.text_strength,
    )


def _short_hash(card: ModelCard) -> str:
    return (card.body_sha256 or "")[:SHORT_HASH_DIGITS]


def _no_hypernetwork(network: Network) -> str:
    shown = network.tag if len(network.tag) <= MAX_SHOWN else f"{network.tag[:MAX_SHOWN]}…"
    return f"{shown}: hypernetworks are not available here; the tag does nothing."
