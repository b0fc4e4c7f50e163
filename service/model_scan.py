"""Finds model files in folders laid out as A1111, ComfyUI or diffusers have them. Reads no weights."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from generation import sampler_info
from generation.errors import UserError
from generation.model_card import ModelCard, ModelDefaults, ModelKind, ModelLayout

log = logging.getLogger(__name__)

FOLDERS = {  # lower case: folders are found whatever their case
    ModelKind.CHECKPOINT: ("stable-diffusion", "checkpoints"),
    ModelKind.VAE: ("vae",),
    ModelKind.LORA: ("lora", "loras", "lycoris"),
}
ENDINGS = {
    ModelKind.CHECKPOINT: (".safetensors", ".sft", ".ckpt"),
    ModelKind.VAE: (".safetensors", ".sft", ".ckpt", ".pt"),
    ModelKind.LORA: (".safetensors", ".sft", ".ckpt", ".pt"),
}
MAX_DEPTH = 8
DEMO = "demo"


@dataclass(frozen=True, slots=True)
class _Found:
    """A model before it has a name that no other has. `below` is the folder its names start at."""

    path: Path
    below: Path
    kind: ModelKind
    is_folder: bool

    @property
    def filename(self) -> str:
        return self.path.relative_to(self.below).as_posix()

    @property
    def name(self) -> str:
        return self.filename if self.is_folder else self.filename.removesuffix(self.path.suffix)

    def names(self) -> Iterator[str]:
        """Ever longer names, to tell apart models that share one."""
        yield self.name
        yield self.filename
        yield f"{self.below.name}/{self.name}"
        yield f"{self.below.name}/{self.filename}"
        yield f"{self.below.parent.name}/{self.below.name}/{self.filename}"
        yield str(self.path)


def scan(roots: Sequence[Path]) -> list[ModelCard]:
    """Cards of all models below the roots, without hashes; sorted, the demo model last.

    Folders that cannot be read are skipped with a warning. A file that is reached in several ways counts once.
    """
    found = list(_unique(found for root in roots for found in _scan_root(_models_folder(root))))
    kinds = [[model for model in found if model.kind is kind] for kind in ModelKind]
    cards = [_card(model, name) for models in kinds for model, name in _named(models)]
    return sorted(cards, key=lambda card: (_is_demo(card), card.name.casefold(), card.name))


def weights_file(card: ModelCard) -> Path:
    """The file whose hash stands for the model: itself, or the U-Net's weights of a diffusers folder."""
    if card.layout is not ModelLayout.DIFFUSERS:
        return card.path
    for ending in ("safetensors", "bin"):
        plain = card.path / "unet" / f"diffusion_pytorch_model.{ending}"
        candidates = [plain, *sorted((card.path / "unet").glob(f"*.{ending}"))]
        for candidate in candidates:
            if candidate.is_file():
                return candidate
    return card.path / "unet" / "diffusion_pytorch_model.safetensors"


def _is_demo(card: ModelCard) -> bool:
    return card.layout is ModelLayout.DIFFUSERS and card.filename == DEMO


def _models_folder(root: Path) -> Path:
    """`root` itself, or its `models` folder if `root` is a whole installation of another web UI."""
    inner = root / "models"
    wanted = {name for names in FOLDERS.values() for name in names}
    has_own = any(child.name.lower() in wanted for child in _children(root) if child.is_dir())
    return inner if not has_own and inner.is_dir() else root


def _scan_root(root: Path) -> Iterator[_Found]:
    special = {name: kind for kind, names in FOLDERS.items() for name in names}
    for child in _children(root):
        kind = special.get(child.name.lower()) if child.is_dir() else None
        if kind is not None:
            yield from _scan_folder(child, child, kind, frozenset())
        elif _is_diffusers(child) or _is_model_file(child, ModelKind.CHECKPOINT):
            yield _found(child, root, ModelKind.CHECKPOINT)


def _scan_folder(folder: Path, below: Path, kind: ModelKind, above: frozenset[Path]) -> Iterator[_Found]:
    """Models in `folder` and deeper. `above` holds the real folders on the way here: a link back ends."""
    real = folder.resolve()
    if real in above or len(above) > MAX_DEPTH:
        return
    for child in _children(folder):
        if child.is_dir():
            if kind is ModelKind.CHECKPOINT and _is_diffusers(child):
                yield _found(child, below, kind)
            else:
                yield from _scan_folder(child, below, kind, above | {real})
        elif _is_model_file(child, kind):
            yield _found(child, below, kind)


def _found(path: Path, below: Path, kind: ModelKind) -> _Found:
    is_vae = path.stem.lower().endswith(".vae")  # A1111: a VAE that lies beside its checkpoint
    return _Found(path, below, ModelKind.VAE if is_vae else kind, path.is_dir())


def _is_model_file(path: Path, kind: ModelKind) -> bool:
    beside = path.stem.lower().endswith(".vae") and path.suffix.lower() in ENDINGS[ModelKind.VAE]
    return (beside or path.suffix.lower() in ENDINGS[kind]) and path.is_file()


def _is_diffusers(path: Path) -> bool:
    return (path / "model_index.json").is_file()


def _children(folder: Path) -> list[Path]:
    """Visible entries, sorted. Hidden ones are skipped: caches, editors' and downloaders' temporary files."""
    try:
        return sorted(child for child in folder.iterdir() if not child.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        log.warning("The folder %s cannot be read: %s", folder, error)
        return []


def _unique(found: Iterator[_Found]) -> Iterator[_Found]:
    seen: set[Path] = set()
    for model in found:
        real = model.path.resolve()
        if real not in seen:
            seen.add(real)
            yield model


def _named(found: Sequence[_Found]) -> Iterator[tuple[_Found, str]]:
    """Each model with the shortest of its names that no other model goes by."""
    clashes = Counter(name.casefold() for model in found for name in set(model.names()))
    for model in found:
        yield model, next((name for name in model.names() if clashes[name.casefold()] == 1), str(model.path))


def _card(model: _Found, name: str) -> ModelCard:
    return ModelCard(
        name=name,
        filename=name if model.is_folder else _with_ending(name, model.path),
        path=model.path,
        kind=model.kind,
        layout=ModelLayout.DIFFUSERS if model.is_folder else ModelLayout.SINGLE_FILE,
        size=_size(model.path),
        defaults=_defaults(model.path) if model.is_folder else ModelDefaults(),
    )


def _with_ending(name: str, path: Path) -> str:
    return name if name.endswith(path.suffix) else name + path.suffix


def _size(path: Path) -> int:
    try:
        if path.is_dir():
            return sum(file.stat().st_size for file in path.glob("*/*.safetensors"))
        return os.stat(path).st_size
    except OSError:
        return 0


def _defaults(folder: Path) -> ModelDefaults:
    """Settings that suit the model, from its `easel.json`; what is wrong in there is left out with a warning."""
    file = folder / "easel.json"
    try:
        defaults = ModelDefaults.model_validate(json.loads(file.read_text("utf-8")))
        if defaults.default_sampler is not None:
            sampler_info.find_sampler(defaults.default_sampler)
        if defaults.default_schedule is not None:
            sampler_info.find_schedule(defaults.default_schedule)
    except FileNotFoundError:
        return ModelDefaults()
    except (OSError, ValueError, ValidationError, UserError) as error:
        log.warning("%s cannot be used: %s", file, error)
        return ModelDefaults()
    return defaults
