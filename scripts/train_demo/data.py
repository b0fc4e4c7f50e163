"""The emoji pictures, their names and their keywords, from three npm packages."""

import json
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

PACKAGES = {
    "pictures": "@lobehub/fluent-emoji-3d@1.1.0",
    "names": "unicode-emoji-json@0.9.0",
    "keywords": "emojilib@4.0.3",
}
OBJECTS_FILE = Path(__file__).with_name("objects.txt")
VARIATION_SELECTOR = "\ufe0f"


@dataclass(frozen=True)
class Emoji:
    """One drawable thing: its picture and every phrase that may stand for it."""

    name: str
    group: str
    aliases: tuple[str, ...]  # phrases as good as the name
    keywords: tuple[str, ...]  # looser phrases, used now and then
    picture: Image.Image  # RGBA, 256 px unless synthetic


def archive_name(package: str) -> str:
    """The file name that `npm pack` gives a package: `@a/b@1` becomes `a-b-1.tgz`."""
    name, version = package.rsplit("@", 1)
    return f"{name.lstrip('@').replace('/', '-')}-{version}.tgz"


def fetch(folder: Path) -> None:
    """Puts the three npm archives into `folder` and unpacks them; what is already there stays."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, package in PACKAGES.items():
        archive = folder / archive_name(package)
        if not archive.exists():
            subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True)
        if not (folder / part).exists():
            with tarfile.open(archive) as tar:
                tar.extractall(folder / part, filter="data")


def read_objects(file: Path = OBJECTS_FILE) -> dict[str, tuple[str, ...]]:
    """The curated list: emoji name -> aliases. Lines read `name: alias, alias`; `#` starts a comment."""
    objects = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        text = line.split("#")[0].strip()
        if text:
            name, _, aliases = text.partition(":")
            objects[name.strip()] = tuple(alias.strip() for alias in aliases.split(",") if alias.strip())
    return objects


def load_emoji(folder: Path, *, only: dict[str, tuple[str, ...]] | None = None) -> list[Emoji]:
    """Every emoji with a name and a picture, flags left out, in the order of the names file.

    `only` keeps those named in it and gives their aliases. Raises KeyError for names it cannot find.
    """
    entries = json.loads((folder / "names/package/data-by-emoji.json").read_text(encoding="utf-8"))
    keywords = json.loads((folder / "keywords/package/dist/emoji-en-US.json").read_text(encoding="utf-8"))
    found = []
    for character, entry in entries.items():
        name = entry["name"]
        file = picture_file(folder / "pictures/package/assets", character)
        if file is None or entry["group"] == "Flags" or (only is not None and name not in only):
            continue
        with Image.open(file) as picture:
            rgba = picture.convert("RGBA")
        found.append(Emoji(name, entry["group"], (only or {}).get(name, ()), phrases(keywords, character), rgba))
    missing = set(only or ()) - {emoji.name for emoji in found}
    if missing:
        raise KeyError(f"No picture for: {', '.join(sorted(missing))}")
    return found


def picture_file(assets: Path, character: str) -> Path | None:
    """The webp of an emoji, with or without the variation selector in its name; None when there is none."""
    for text in (character, character.replace(VARIATION_SELECTOR, "")):
        file = assets / ("-".join(f"{ord(point):04x}" for point in text) + ".webp")
        if file.exists():
            return file
    return None


def phrases(keywords: dict[str, list[str]], character: str) -> tuple[str, ...]:
    """The keywords of an emoji as plain phrases."""
    words = keywords.get(character) or keywords.get(character.replace(VARIATION_SELECTOR, "")) or []
    return tuple(word.replace("_", " ").lower() for word in words if word.isascii())
