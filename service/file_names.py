"""File and folder names from patterns like `[seed]-[prompt_spaces]`, valid on every operating system."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from generation.job import Job
from generation.result import GeneratedImage
from generation.sampler_info import AUTOMATIC, effective_schedule

MAX_BYTES = 200  # of a name in UTF-8; file systems allow 255, the running number and ending need some
MAX_PROMPT_CHARACTERS = 128
MAX_PROMPT_WORDS = 8
HASH_DIGITS = 8

_WORD = re.compile(r"\[(\w+)(?:<([^>]*)>)?\]")
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]')
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?=$|[. ])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What the words of a pattern are filled with. `index` counts the pictures of the job from 0."""

    job: Job
    image: GeneratedImage
    index: int
    now: datetime


def file_stem(pattern: str, facts: FileFacts) -> str:
    """The file name without running number and ending; may be empty."""
    return safe_name(_filled(pattern.replace("/", " ").replace("\\", " "), facts))


def folder_parts(pattern: str, facts: FileFacts) -> list[str]:
    """The folder names below the outputs root. Only the pattern's own slashes divide, never a prompt's."""
    parts = (safe_name(_filled(part, facts)) for part in re.split(r"[/\\]", pattern))
    return [part for part in parts if part]


def safe_name(text: str, max_bytes: int = MAX_BYTES) -> str:
    """`text` as a file name without an ending, valid on Windows, macOS and Linux; letters of all scripts stay."""
    text = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", text))
    text = _shortened(text.strip(" ."), max_bytes - 1).rstrip(" .")
    return f"_{text}" if _RESERVED.match(text) else text


def _shortened(text: str, max_bytes: int) -> str:
    """As many whole characters as fit; an accent stays with its letter."""
    cut = len(text.encode()[:max_bytes].decode(errors="ignore"))
    while 0 < cut < len(text) and _belongs_to_previous(text, cut):
        cut -= 1
    return text[:cut]


def _belongs_to_previous(text: str, at: int) -> bool:
    """Accents, and the joints and skin tones of emoji."""
    is_joint = text[at] in "\u200d\ufe0f" or text[at - 1] == "\u200d"
    return is_joint or bool(unicodedata.combining(text[at])) or "\U0001f3fb" <= text[at] <= "\U0001f3ff"


def _filled(pattern: str, facts: FileFacts) -> str:
    def fill(match: re.Match[str]) -> str:
        word, argument = match[1].lower(), match[2] or ""
        if word not in _WORDS:
            return match[0]
        # A value's own slashes become part of the name here; brackets in it are not filled again.
        return _FORBIDDEN.sub("_", _WORDS[word](facts, argument))

    return _WORD.sub(fill, pattern)


def _prompt(facts: FileFacts) -> str:
    return " ".join(facts.job.request.prompt.split())[:MAX_PROMPT_CHARACTERS].strip()


def _prompt_words(facts: FileFacts, _: str) -> str:
    return " ".join(re.findall(r"\w+", facts.job.request.prompt)[:MAX_PROMPT_WORDS])


def _hash(text: str | bytes, digits: str) -> str:
    data = text.encode() if isinstance(text, str) else text
    length = int(digits) if digits.isdecimal() and int(digits) <= 64 else HASH_DIGITS
    return hashlib.sha256(data).hexdigest()[:length]


def _datetime(facts: FileFacts, form: str) -> str:
    try:
        return facts.now.strftime(form or "%Y%m%d%H%M%S")
    except ValueError:  # a form that this platform does not know
        return facts.now.strftime("%Y%m%d%H%M%S")


def _scheduler(facts: FileFacts, _: str = "") -> str:
    request = facts.job.request
    return effective_schedule(request.sampler, request.schedule)


def _sampler_scheduler(facts: FileFacts, _: str) -> str:
    request = facts.job.request
    return request.sampler if request.schedule == AUTOMATIC else f"{request.sampler} {request.schedule}"


def _both_prompts(facts: FileFacts) -> str:
    return facts.job.request.prompt + facts.job.request.negative_prompt


def _denoising(facts: FileFacts, _: str) -> str:
    uploads = facts.job.request.img2img
    return f"{uploads.denoising_strength:g}" if uploads else ""


# A1111's words, so that people's patterns carry over.
_WORDS: dict[str, Callable[[FileFacts, str], str]] = {
    "seed": lambda facts, _: str(facts.image.seed),
    "seed_first": lambda facts, _: str(facts.job.request.seed),
    "seed_last": lambda facts, _: str(facts.job.request.seed + facts.job.request.image_count - 1),
    "steps": lambda facts, _: str(facts.job.request.steps),
    "cfg": lambda facts, _: f"{facts.job.request.cfg_scale:g}",
    "width": lambda facts, _: str(facts.image.width),
    "height": lambda facts, _: str(facts.image.height),
    "sampler": lambda facts, _: facts.job.request.sampler,
    "scheduler": _scheduler,
    "sampler_scheduler": _sampler_scheduler,
    "model_name": lambda facts, _: facts.job.checkpoint.name,
    "model_hash": lambda facts, _: facts.job.checkpoint.short_hash or "",
    "vae_filename": lambda facts, _: facts.job.vae.name if facts.job.vae else "",
    "date": lambda facts, _: facts.now.strftime("%Y-%m-%d"),
    "datetime": _datetime,
    "job_timestamp": lambda facts, _: datetime.fromtimestamp(facts.job.created).strftime("%Y%m%d%H%M%S"),
    "prompt": lambda facts, _: _prompt(facts).replace(" ", "_"),
    "prompt_spaces": lambda facts, _: _prompt(facts),
    "prompt_words": _prompt_words,
    "prompt_hash": lambda facts, digits: _hash(facts.job.request.prompt, digits),
    "negative_prompt_hash": lambda facts, digits: _hash(facts.job.request.negative_prompt, digits),
    "full_prompt_hash": lambda facts, digits: _hash(_both_prompts(facts), digits),
    "image_hash": lambda facts, digits: _hash(facts.image.png, digits),
    "batch_number": lambda facts, _: str(facts.index % facts.job.request.batch_size + 1),
    "batch_size": lambda facts, _: str(facts.job.request.batch_size),
    "generation_number": lambda facts, _: str(facts.index + 1),
    "clip_skip": lambda facts, _: str(facts.job.request.clip_skip),
    "denoising": _denoising,
    "user": lambda facts, _: facts.job.owner,
    "none": lambda facts, _: "",
}
