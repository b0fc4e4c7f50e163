"""A CLIP tokenizer with a byte-pair vocabulary of our own, small but able to spell any word."""

import json
from collections import Counter
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from .captions import BACKGROUND_FORMS, PRAISE, PREFIXES
from .data import Emoji
from .networks import MAX_TOKENS
from .scenes import COLOURS, TINTS

START, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"
WORDS = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
COMMON_WORDS = """
a an the and or of on in at with without under over near from to by for is are its his her their this that
some two three four many one very old young new little small big large tiny huge long short tall round flat
happy sad angry smiling sitting standing running flying sleeping eating holding wearing looking dark light
bright pale deep soft warm cold golden silver metallic glass wooden plastic shiny glossy matte colorful
colourful pastel neon vivid grey gray violet magenta cyan indigo gold cream photo photograph picture image
painting drawing sketch illustration render cartoon anime realistic photorealistic style art artist digital
oil watercolor portrait landscape close up view front side top background foreground simple plain blurry
blurred low worst bad quality ugly deformed distorted text watermark logo signature jpeg artifacts cropped
extra fingers hands masterpiece best high highly detailed intricate sharp focus cinematic lighting studio
dramatic soft volumetric sunset sunrise night day morning winter summer spring autumn forest mountain river
lake ocean sea beach city street house room table garden field sky space snow rain concept trending
resolution hdr unreal engine octane vector sticker emoji icon woman man girl boy person people child
"""


def corpus(emoji: list[Emoji]) -> Counter[str]:
    """Words and how much they matter: names most, then the words of prompts, then keywords."""
    words: Counter[str] = Counter()
    sources = [
        (COMMON_WORDS.split(), 30),
        (BACKGROUND_FORMS, 30),
        (PREFIXES, 30),
        (PRAISE, 30),
        (COLOURS, 60),
        (TINTS, 60),
    ]
    for one in emoji:
        sources += [((one.name, *one.aliases), 30), (one.keywords, 3)]
    for phrases, weight in sources:
        for phrase in phrases:
            for word, _ in pre_tokenizers.Split(WORDS, "removed", invert=True).pre_tokenize_str(phrase.lower()):
                words[word] += weight
    return words


def learn_merges(words: Counter[str], vocabulary_size: int) -> list[tuple[str, str]]:
    """The byte-pair merges that bring the vocabulary to `vocabulary_size`, most useful first."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix=WORD_END))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(WORDS, "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size, end_of_word_suffix=WORD_END, show_progress=False, min_frequency=3
    )
    lines = (word for word in sorted(words) for _ in range(words[word]))
    tokenizer.train_from_iterator(lines, trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in merges]


def build_tokenizer(emoji: list[Emoji], vocabulary_size: int) -> CLIPTokenizer:
    """A tokenizer in CLIP's layout: bytes, bytes that end a word, merges, start, end."""
    merges = learn_merges(corpus(emoji), vocabulary_size)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(letter + WORD_END for letter in letters), *("".join(merge) for merge in merges)]
    unique = list(dict.fromkeys([*tokens, START, END]))
    vocabulary = {token: index for index, token in enumerate(unique)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS)


def save_tokenizer(tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Writes the folder in today's layout and in the older vocab.json + merges.txt one."""
    tokenizer.save_pretrained(folder)
    state = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    vocabulary = json.dumps(state["vocab"], ensure_ascii=False)
    (folder / "vocab.json").write_text(vocabulary, encoding="utf-8")
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in state["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2), encoding="utf-8")


def token_ids(tokenizer: CLIPTokenizer, texts: list[str]) -> list[list[int]]:
    """Ids of each text, cut or padded to 77 as Stable Diffusion does."""
    return tokenizer(texts, padding="max_length", max_length=MAX_TOKENS, truncation=True).input_ids
