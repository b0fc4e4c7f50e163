"""CLIP text encoders and tokenizers of transformers."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

MAX_TOKENS = 77
START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"


def clip_skeleton(config: Mapping[str, Any]) -> nn.Module:  # Any: JSON
    """A CLIP text model on the meta device: shapes only. `config` in transformers' words.

    The end-of-text id of old configurations (2) is wrong and is left to transformers' default.
    """
    from transformers import CLIPTextConfig, CLIPTextModel

    known = {
        key: value
        for key, value in config.items()
        if key not in ("architectures", "model_type", "torch_dtype", "dtype")
    }
    if known.get("eos_token_id") == 2:
        known = {key: value for key, value in known.items() if not key.endswith("_token_id")}
    with torch.device("meta"):
        model = CLIPTextModel(CLIPTextConfig(**known))
    _make_buffers_real(model)
    return model


def _make_buffers_real(model: nn.Module) -> None:
    """Position numbers are in no file: they are made anew, since meta tensors hold none."""
    for module in model.modules():
        numbers = getattr(module, "position_ids", None)
        if isinstance(numbers, torch.Tensor) and numbers.is_meta:
            positions = torch.arange(numbers.shape[-1], device="cpu").expand(tuple(numbers.shape)).clone()
            module.register_buffer("position_ids", positions, persistent=False)


def tokenizer_from_folder(folder: Path) -> Any:
    """The tokenizer in a folder of a diffusers model (vocab.json and merges.txt, or tokenizer.json).

    Raises OSError or ValueError if there is none that can be read.
    """
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)


def clip_tokenizer(merges_file: Path, padding: str | None = None) -> Any:
    """The tokenizer of CLIP, its vocabulary built from the list of byte pairs.

    Ids are given in this order: 256 bytes, the same ending a word, the merges, start and end of text. Short texts
    are filled up with the token `padding`, by default the end of text.
    """
    from transformers import CLIPTokenizer

    lines = gzip.decompress(merges_file.read_bytes()).decode().splitlines()
    merges: list[Any] = [tuple(line.split(maxsplit=1)) for line in lines[1:]]  # pairs, which its hints forget
    letters = _byte_letters()
    tokens = [*letters, *(letter + WORD_END for letter in letters), *(a + b for a, b in merges), START, END]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS, pad_token=padding or END)


def _byte_letters() -> list[str]:
    """A printable letter for each byte: printable ones stand for themselves and come first."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + number) for number in range(len(others))]
