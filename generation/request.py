"""What to generate: one frozen value that is enough to make the pictures again.

The limits on these fields are the only place where limits are written; sliders, the HTTP schema and tests read
them from here (`limits_of`). Operator caps that are tighter live in `service/limits.py`.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from generation import sampler_info, upscalers
from generation.errors import InvalidRequest

MAX_SEED = 2**63 - 1
RANDOM_SEEDS = 2**32  # random seeds are drawn below this, as A1111 does
MAX_PROMPT_CHARACTERS = 100_000
MAX_NAME_CHARACTERS = 4096
MAX_SIDE = 8192  # pixels
GRID = 8  # pixels; sizes are multiples of it


class ResizeMode(IntEnum):
    """How an init image is fitted to width x height; the numbers are A1111's."""

    JUST_RESIZE = 0
    CROP_AND_RESIZE = 1
    RESIZE_AND_FILL = 2
    LATENT_UPSCALE = 3


class MaskedContent(IntEnum):
    """What the masked area holds before denoising; the numbers are A1111's `inpainting_fill`."""

    FILL = 0
    ORIGINAL = 1
    LATENT_NOISE = 2
    LATENT_NOTHING = 3


class NoiseSource(StrEnum):
    """Where initial noise comes from. CPU gives the same picture on every device."""

    CPU = "CPU"
    NV = "NV"
    GPU = "GPU"


class _Value(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64", validate_default=True
    )


class Inpaint(_Value):
    """Which part of the init image to paint anew. White mask = repaint; `mask` is an encoded picture."""

    mask: bytes = Field(repr=False)
    blur_x: float = Field(4, ge=0, le=256)
    blur_y: float = Field(4, ge=0, le=256)
    round_mask: bool = True
    invert: bool = False
    content: MaskedContent = MaskedContent.ORIGINAL
    only_masked: bool = False
    padding: int = Field(32, ge=0, le=1024)


class Img2Img(_Value):
    """Start from pictures instead of pure noise. `init_images` are encoded files (PNG, JPEG, WebP …).

    With fewer init images than the batch holds, they are used in turn.
    """

    init_images: tuple[bytes, ...] = Field(min_length=1, max_length=64, repr=False)
    denoising_strength: float = Field(0.75, ge=0, le=1)
    resize_mode: ResizeMode = ResizeMode.JUST_RESIZE
    initial_noise_multiplier: float = Field(1.0, ge=0, le=2)
    inpaint: Inpaint | None = None


class HiresSize(NamedTuple):
    """Sizes of a second pass, in pixels, multiples of 8: `width` x `height` is cut out of the middle of
    `scaled_width` x `scaled_height`, which has the first pass's shape."""

    width: int
    height: int
    scaled_width: int
    scaled_height: int


class Hires(_Value):
    """A second pass on the enlarged picture: A1111's "hires fix".

    The size is `scale` times the first one, or `width` x `height`: with one of them 0 the other follows from
    the shape, with both the overhang is cut off evenly. `steps` 0, an empty sampler, schedule or prompt and a
    `cfg_scale` of None mean "as in the first pass".
    """

    scale: float = Field(2.0, ge=1, le=8)
    width: int = Field(0, ge=0, le=8192)
    height: int = Field(0, ge=0, le=8192)
    upscaler: str = upscalers.DEFAULT_LATENT_MODE
    steps: int = Field(0, ge=0, le=1000)
    denoising_strength: float = Field(0.7, ge=0, le=1)
    sampler: str = ""
    schedule: str = ""
    prompt: str = Field("", max_length=MAX_PROMPT_CHARACTERS)
    negative_prompt: str = Field("", max_length=MAX_PROMPT_CHARACTERS)
    cfg_scale: float | None = Field(None, ge=0, le=100)

    @field_validator("upscaler")
    @classmethod
    def _canonical_upscaler(cls, name: str) -> str:
        return upscalers.hires_upscaler(name)

    @field_validator("sampler")
    @classmethod
    def _canonical_sampler(cls, name: str) -> str:
        return sampler_info.find_sampler(name, "hires.sampler").name if name.strip() else ""

    @field_validator("schedule")
    @classmethod
    def _canonical_schedule(cls, name: str) -> str:
        return sampler_info.find_schedule(name, "hires.schedule").label if name.strip() else ""

    def size_from(self, width: int, height: int) -> HiresSize:
        """The sizes of the second pass after a first one of width x height, computed as A1111 does."""
        if not (self.width or self.height):
            scaled = int(width * self.scale), int(height * self.scale)
        elif not self.height or (self.width and width * self.height < self.width * height):
            scaled = self.width, self.width * height // width
        else:
            scaled = self.height * width // height, self.height
        wide, high = scaled[0] // GRID * GRID, scaled[1] // GRID * GRID
        if self.width and self.height:
            return HiresSize(self.width // GRID * GRID, self.height // GRID * GRID, wide, high)
        return HiresSize(wide, high, wide, high)


class SamplerOptions(_Value):
    """Fine settings of samplers; None = the sampler's own default. Names as in k-diffusion."""

    eta: float | None = Field(None, ge=0, le=2)  # ancestral and SDE samplers; default 1, DDIM 0
    s_churn: float = Field(0.0, ge=0, le=100)
    s_tmin: float = Field(0.0, ge=0)
    s_tmax: float | None = Field(None, ge=0)  # None = infinity
    s_noise: float = Field(1.0, ge=0, le=2)
    eta_noise_seed_delta: int = Field(0, ge=0, le=MAX_SEED)  # A1111's ENSD
    sigma_min: float | None = Field(None, gt=0, le=100_000)  # of the schedule; None = the model's own
    sigma_max: float | None = Field(None, gt=0, le=100_000)
    rho: float | None = Field(None, gt=0, le=100)  # of the schedule; None = its default
    cfg_rescale: float = Field(0.0, ge=0, le=1)


class GenerationRequest(_Value):
    """Everything needed to make pictures. Frozen: change it with `model_copy(update=…)` or `with_changes`.

    `seed` -1 means "draw one"; it is replaced by a number when the request is submitted. Picture k of the job
    uses seed + k. `model` and `vae` are names, titles or hashes in the catalogue; "" = the current choice.
    """

    prompt: str = Field("", max_length=MAX_PROMPT_CHARACTERS)
    negative_prompt: str = Field("", max_length=MAX_PROMPT_CHARACTERS)
    seed: int = Field(-1, ge=-1, le=MAX_SEED)
    variation_seed: int = Field(-1, ge=-1, le=MAX_SEED)
    variation_strength: float = Field(0.0, ge=0, le=1)
    seed_resize_width: int = Field(0, ge=0, le=8192)
    seed_resize_height: int = Field(0, ge=0, le=8192)
    steps: int = Field(20, ge=1, le=1000)
    cfg_scale: float = Field(7.0, ge=0, le=100)
    width: int = Field(512, ge=16, le=8192, multiple_of=8)
    height: int = Field(512, ge=16, le=8192, multiple_of=8)
    sampler: str = "DPM++ 2M"
    schedule: str = sampler_info.AUTOMATIC
    sampling: SamplerOptions = SamplerOptions()
    batch_size: int = Field(1, ge=1, le=64)
    batch_count: int = Field(1, ge=1, le=1000)
    clip_skip: int = Field(1, ge=1, le=12)
    noise_source: NoiseSource = NoiseSource.CPU
    model: str = Field("", max_length=MAX_NAME_CHARACTERS)
    vae: str = Field("Automatic", max_length=MAX_NAME_CHARACTERS)
    img2img: Img2Img | None = None
    hires: Hires | None = None
    save: bool = True  # write the pictures to the outputs folder and the history
    extras: dict[str, JsonValue] = Field(default_factory=dict)

    @field_validator("sampler")
    @classmethod
    def _canonical_sampler(cls, name: str) -> str:
        return sampler_info.find_sampler(name).name

    @field_validator("schedule")
    @classmethod
    def _canonical_schedule(cls, name: str) -> str:
        return sampler_info.find_schedule(name).label

    @model_validator(mode="after")
    def _both_or_neither_seed_resize(self) -> GenerationRequest:
        if (self.seed_resize_width > 0) != (self.seed_resize_height > 0):
            raise ValueError("seed_resize_width and seed_resize_height must be given together")
        return self

    @model_validator(mode="after")
    def _possible_hires(self) -> GenerationRequest:
        if self.hires is None:
            return self
        if self.img2img is not None:
            raise InvalidRequest(
                "hires: a second pass goes with text-to-image only, not with img2img.", "Leave one out.", "hires"
            )
        size = self.hires.size_from(self.width, self.height)
        if not all(16 <= side <= MAX_SIDE for side in size):
            shown = f"{size.scaled_width}x{size.scaled_height}"
            message = f"hires: the second pass would be {shown}; each side must be 16 to {MAX_SIDE} pixels."
            raise InvalidRequest(message, "Change the scale or the size.", "hires.scale")
        return self

    @property
    def image_count(self) -> int:
        """How many pictures the job makes."""
        return self.batch_size * self.batch_count

    def with_changes(self, **changes: Any) -> GenerationRequest:  # Any: the values of any field
        """A validated copy with some fields replaced. Raises InvalidRequest naming the field."""
        return make_request(**{**dict(self), **changes})


class Range(NamedTuple):
    """Least and greatest allowed value of a number field, and its step."""

    minimum: float
    maximum: float
    step: float


def limits_of(field: str) -> Range:
    """Limits of a numeric field of GenerationRequest, or of Img2Img or Hires by "img2img.field", "hires.field"."""
    model: type[BaseModel] = GenerationRequest
    for prefix, part in (("img2img.", Img2Img), ("hires.", Hires)):
        if field.startswith(prefix):
            model, field = part, field.removeprefix(prefix)
    bounds: dict[str, float] = {}
    info = model.model_fields[field]
    for constraint in info.metadata:
        for name in ("ge", "le", "multiple_of"):
            if (value := getattr(constraint, name, None)) is not None:
                bounds[name] = value
    return Range(bounds["ge"], bounds["le"], bounds.get("multiple_of", 1 if info.annotation is int else 0.01))


def make_request(**values: Any) -> GenerationRequest:  # Any: raw input from a front door
    """A validated request. Raises InvalidRequest (or UnknownName) with the field and value at fault."""
    from pydantic import ValidationError

    try:
        return GenerationRequest(**values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "request"
        shown = repr(first.get("input"))
        shown = shown if len(shown) <= 80 else shown[:77] + "…"
        raise InvalidRequest(f"{field}: {first['msg']}, got {shown}.", "Change this value.", field) from None
