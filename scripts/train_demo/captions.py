"""What people may write to get a scene: names, aliases and keywords in many short forms."""

from collections import Counter

import numpy as np

from .data import Emoji
from .scenes import Scene

ALIAS_SHARE = 0.35
KEYWORD_SHARE = 0.06
KEYWORD_OWNERS = 2  # keywords shared by more objects than this say too little
WHITE_UNNAMED = 0.6  # how often a white background goes unmentioned
COLOUR_UNNAMED = 0.08
BACKGROUND_FORMS = (
    "{thing} on a {colour} background",
    "{thing} on a {colour} background",
    "{thing} on a {colour} background",
    "{thing} on {colour} background",
    "{thing} on {colour}",
    "{thing}, {colour} background",
    "{thing}, {colour} background",
    "{colour} background, {thing}",
    "{thing} with a {colour} background",
    "{thing} in front of a {colour} background",
    "{thing} on a plain {colour} background",
    "{thing}, simple {colour} background",
    "{thing} against a {colour} background",
)
PREFIXES = (
    "a photo of",
    "photo of",
    "a picture of",
    "picture of",
    "an image of",
    "an emoji of",
    "a drawing of",
    "an icon of",
    "a 3d render of",
    "an illustration of",
)
PREFIX_SHARE = 0.22
PRAISE = (
    "3d render",
    "emoji",
    "icon",
    "high quality",
    "best quality",
    "masterpiece",
    "highly detailed",
    "detailed",
    "4k",
    "cute",
    "simple",
    "beautiful",
    "sharp focus",
    "digital art",
    "glossy",
)
PRAISE_SHARE = 0.12


def telling_keywords(emoji: list[Emoji]) -> list[tuple[str, ...]]:
    """For each emoji its keywords that few others share and that are nobody's name or alias."""
    owners = Counter(word for one in emoji for word in set(one.keywords))
    taken = {phrase.lower() for one in emoji for phrase in (one.name, *one.aliases)}
    return [
        tuple(word for word in one.keywords if owners[word] <= KEYWORD_OWNERS and word not in taken)
        for one in emoji
    ]


class Captioner:
    """Writes captions for the scenes of one list of emoji."""

    def __init__(self, emoji: list[Emoji]) -> None:
        self._emoji = emoji
        self._keywords = telling_keywords(emoji)

    def caption(self, random: np.random.Generator, scene: Scene) -> str:
        """One of the many captions of a scene. A background that goes unnamed is mostly white."""
        thing = " and ".join(
            noun_phrase(random, self._phrase(random, placed.emoji), placed.tint) for placed in scene.placements
        )
        if random.random() < PREFIX_SHARE:
            thing = f"{random.choice(PREFIXES)} {thing}"
        unnamed = WHITE_UNNAMED if scene.background == "white" else COLOUR_UNNAMED
        text = thing
        if random.random() >= unnamed:
            text = str(random.choice(BACKGROUND_FORMS)).format(thing=thing, colour=scene.background)
            text = text.replace(" a orange", " an orange")
        if random.random() < PRAISE_SHARE:
            chosen = random.choice(PRAISE, size=int(random.integers(1, 4)), replace=False)
            text = ", ".join([text, *chosen])
        return text

    def _phrase(self, random: np.random.Generator, index: int) -> str:
        one = self._emoji[index]
        chance = random.random()
        if one.aliases and chance < ALIAS_SHARE:
            return str(random.choice(one.aliases))
        if self._keywords[index] and chance > 1 - KEYWORD_SHARE:
            return str(random.choice(self._keywords[index]))
        return one.name


def noun_phrase(random: np.random.Generator, phrase: str, tint: str | None = None) -> str:
    """The phrase with its colour and, more often than not, an article."""
    words = phrase if tint is None else f"{tint} {phrase}"
    chance = random.random()
    if chance < 0.3:
        return words
    if chance < 0.35:
        return f"the {words}"
    return f"{article(words)} {words}"


def article(words: str) -> str:
    """ "a" or "an", by spelling."""
    return "an" if words[0].lower() in "aeiou" and not words.startswith(("uni", "one")) else "a"
