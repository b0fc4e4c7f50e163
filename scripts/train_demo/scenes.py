"""Scenes: which emoji stand where on which colour, drawn to pixels; the same seed gives the same scene."""

import hashlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .data import Emoji

COLOURS: dict[str, tuple[int, int, int]] = {
    "white": (246, 246, 246),
    "black": (26, 26, 28),
    "gray": (140, 142, 146),
    "red": (214, 48, 49),
    "orange": (243, 146, 50),
    "yellow": (250, 212, 62),
    "green": (58, 160, 82),
    "blue": (48, 108, 222),
    "purple": (138, 82, 190),
    "pink": (246, 158, 192),
    "brown": (130, 86, 56),
    "turquoise": (48, 190, 186),
    "navy": (30, 44, 96),
    "sky blue": (146, 202, 242),
    "beige": (233, 216, 182),
    "lime": (172, 218, 72),
}
TINTS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "turquoise")
SINGLE_SCALE = (0.7, 0.92)
PAIR_SCALE = (0.42, 0.5)
SINGLE_JITTER = 0.03
PAIR_JITTER = 0.025
GRADIENT = 0.07
HELD_OUT_SHARE = 10  # one (object, background) pair in this many is never trained on


@dataclass(frozen=True)
class Placement:
    """One emoji in a scene: index into the emoji list, size and centre as fractions of the picture."""

    emoji: int
    scale: float
    x: float
    y: float
    tint: str | None = None
    mirrored: bool = False


@dataclass(frozen=True)
class Scene:
    """Everything needed to draw one picture, except the emoji pictures themselves."""

    background: str
    gradient: tuple[float, float]  # how much brighter the right and the bottom edge are
    placements: tuple[Placement, ...]


def is_held_out(name: str, background: str) -> bool:
    """Whether this object on this background is kept for evaluation: a tenth of all pairs, by hash."""
    digest = hashlib.blake2b(f"{name}|{background}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % HELD_OUT_SHARE == 0


def scene_random(seed: int, index: int) -> np.random.Generator:
    """The random numbers of scene `index`; independent of every other scene."""
    return np.random.default_rng([seed, index])


def can_be_tinted(name: str) -> bool:
    """False for names that say a colour already, such as "red apple"."""
    return not any(word in (*TINTS, "golden", "grey") for word in name.lower().split())


def random_scene(
    random: np.random.Generator, emoji: list[Emoji], *, kind: str, background: str | None = None
) -> Scene:
    """A scene of `kind` "single", "tinted" or "pair"; a background is drawn unless given.

    Combinations kept for evaluation never come out: their background is drawn again.
    """
    count = 2 if kind == "pair" else 1
    chosen = [int(index) for index in random.choice(len(emoji), size=count, replace=False)]
    tint = None
    if kind == "tinted" and can_be_tinted(emoji[chosen[0]].name):
        names = {one.name for one in emoji}
        tint = str(random.choice([tint for tint in TINTS if f"{tint} {emoji[chosen[0]].name}" not in names]))
    allowed = [colour for colour in COLOURS if colour != tint and not any_held_out(emoji, chosen, colour)]
    if background not in allowed:
        background = str(random.choice(allowed))
    gradient = (float(random.uniform(-GRADIENT, GRADIENT)), float(random.uniform(-GRADIENT, GRADIENT)))
    place = place_pair if count == 2 else place_single
    return Scene(background, gradient, place(random, chosen, tint))


def any_held_out(emoji: list[Emoji], chosen: list[int], background: str) -> bool:
    """Whether one of the chosen emoji may not be trained on this background."""
    return any(is_held_out(emoji[index].name, background) for index in chosen)


def place_single(random: np.random.Generator, chosen: list[int], tint: str | None) -> tuple[Placement, ...]:
    """One emoji near the centre."""
    x, y = 0.5 + random.uniform(-SINGLE_JITTER, SINGLE_JITTER, size=2)
    return (Placement(chosen[0], float(random.uniform(*SINGLE_SCALE)), float(x), float(y), tint),)


def place_pair(random: np.random.Generator, chosen: list[int], tint: str | None) -> tuple[Placement, ...]:
    """Two emoji side by side, in the order they are named."""
    placements = []
    for index, centre in zip(chosen, (0.27, 0.73), strict=True):
        x, y = np.array([centre, 0.5]) + random.uniform(-PAIR_JITTER, PAIR_JITTER, size=2)
        placements.append(Placement(index, float(random.uniform(*PAIR_SCALE)), float(x), float(y), tint))
    return tuple(placements)


def draw(scene: Scene, emoji: list[Emoji], size: int) -> np.ndarray:
    """The scene as `(size, size, 3)` uint8."""
    canvas = draw_background(scene, size)
    for placement in scene.placements:
        paste(canvas, emoji[placement.emoji].picture, placement)
    return (canvas.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def draw_background(scene: Scene, size: int) -> np.ndarray:
    """The coloured background with its faint gradient, `(size, size, 3)` float32 in 0…1."""
    ramp = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    shade = 1 + scene.gradient[0] * ramp[None, :] + scene.gradient[1] * ramp[:, None]
    return shade[:, :, None] * (np.array(COLOURS[scene.background], dtype=np.float32) / 255)


def paste(canvas: np.ndarray, picture: Image.Image, placement: Placement) -> None:
    """Blends a scaled, perhaps tinted or mirrored emoji into the canvas, cut off at its edges."""
    size = canvas.shape[0]
    side = max(2, round(placement.scale * size))
    scaled = picture.resize((side, side), Image.Resampling.BICUBIC)
    layer = np.asarray(scaled, dtype=np.float32) / 255
    if placement.mirrored:
        layer = layer[:, ::-1]
    left, top = round(placement.x * size - side / 2), round(placement.y * size - side / 2)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, size), min(top + side, size)
    layer = layer[y0 - top : y1 - top, x0 - left : x1 - left]
    colour, alpha = layer[:, :, :3], layer[:, :, 3:]
    if placement.tint is not None:
        colour = tinted(colour, placement.tint)
    canvas[y0:y1, x0:x1] = canvas[y0:y1, x0:x1] * (1 - alpha) + colour * alpha


def tinted(colour: np.ndarray, tint: str) -> np.ndarray:
    """The picture in shades of one colour: dark stays dark, middle grey becomes the colour, white a tone."""
    luminance = colour @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    target = np.array(COLOURS[tint], dtype=np.float32) / 255
    middle = np.float32(0.62)
    below = (luminance / middle).clip(0, 1)[:, :, None]
    above = ((luminance - middle) / (1 - middle)).clip(0, 1)[:, :, None]
    return target * (0.2 + 0.8 * below) + (1 - target) * 0.65 * above


def to_tensor_range(pictures: np.ndarray) -> np.ndarray:
    """uint8 `(n, height, width, 3)` as float32 `(n, 3, height, width)` in -1…1."""
    return np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), dtype=np.float32) / 127.5 - 1


def nearest_colour(rgb: np.ndarray) -> str:
    """The named background colour closest to an RGB value in 0…255."""
    names = list(COLOURS)
    table = np.array([COLOURS[name] for name in names], dtype=np.float32)
    return names[int(((table - np.asarray(rgb, dtype=np.float32)) ** 2).sum(1).argmin())]
