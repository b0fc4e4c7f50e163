"""CLIP without its original files: the tokenizer built from byte pairs, the text encoder built without memory."""

from __future__ import annotations

import torch
from transformers import CLIPTextConfig, CLIPTextModel

from engine.backends.clip import clip_skeleton, clip_tokenizer
from engine.model_configs import ConfigFolder

TINY = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 60,
}


def test_the_tokenizer_gives_clips_own_numbers() -> None:
    tokenizer = clip_tokenizer(ConfigFolder().clip_merges)
    # Ids published with CLIP.
    assert tokenizer("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert tokenizer("A Photo  of a CAT").input_ids == tokenizer("a photo of a cat").input_ids
    assert len(tokenizer) == 49408
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (49406, 49407, 49407)
    assert tokenizer.model_max_length == 77
    assert tokenizer.decode(tokenizer("größe 😀", add_special_tokens=False).input_ids).strip() == "größe 😀"


def test_padding_can_be_another_token() -> None:
    assert clip_tokenizer(ConfigFolder().clip_merges, "!").pad_token_id == 0


def test_the_wrong_end_of_text_of_old_configurations_is_mended() -> None:
    assert (
        clip_skeleton({**TINY, "vocab_size": 49408, "eos_token_id": 2, "bos_token_id": 0}).config.eos_token_id
        == 49407
    )
    assert clip_skeleton({**TINY, "eos_token_id": 59, "bos_token_id": 58}).config.eos_token_id == 59


def test_a_filled_skeleton_computes_like_the_original() -> None:
    config = {**TINY, "bos_token_id": 58, "eos_token_id": 59, "pad_token_id": 59}
    torch.manual_seed(0)
    original = CLIPTextModel(CLIPTextConfig(**config)).eval()
    skeleton = clip_skeleton(config)
    assert all(parameter.is_meta for parameter in skeleton.parameters())
    skeleton.load_state_dict(original.state_dict(), assign=True)
    ids = torch.tensor([[58, 3, 7, 59]])
    with torch.no_grad():
        found, wanted = skeleton.eval()(ids).last_hidden_state, original(ids).last_hidden_state
    assert torch.equal(found, wanted)
