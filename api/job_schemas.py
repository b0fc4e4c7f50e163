"""The JSON of the jobs API. A request has the fields of GenerationRequest, with pictures as base64."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from api.images import decode
from generation.errors import InvalidRequest
from generation.job import JobStatus
from generation.request import GenerationRequest, Img2Img, Inpaint, make_request
from service.history import HistoryRow
from service.services import Services


def _decoded(value: object) -> object:
    return decode(value, "a picture") if isinstance(value, str) else value


Base64Picture = Annotated[bytes, BeforeValidator(_decoded), Field(description="Base64 or a data URI.")]


class InpaintBody(Inpaint):
    """Which part of the init image to paint anew; white is repainted."""

    mask: Base64Picture = Field(repr=False)


class Img2ImgBody(Img2Img):
    """Start from pictures."""

    init_images: tuple[Base64Picture, ...] = Field(min_length=1, max_length=64, repr=False)
    inpaint: InpaintBody | None = None


class JobBody(GenerationRequest):
    """What to make. Fields left out take the model's own defaults, else those of the settings."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"prompt": "a red apple on a blue background", "steps": 20, "seed": 1},
                {"prompt": "a pear", "img2img": {"init_images": ["<base64>"], "denoising_strength": 0.6}},
            ]
        }
    )

    type: Literal["txt2img", "img2img"] | None = Field(None, description="May be left out: img2img says it too.")
    img2img: Img2ImgBody | None = None

    def to_request(self) -> GenerationRequest:
        """The plain request, which remembers which fields were set. Raises InvalidRequest."""
        if self.type is not None and (self.type == "img2img") != (self.img2img is not None):
            raise InvalidRequest(
                f"type: {self.type!r} does not go with the img2img field.", "Leave type out.", "type"
            )
        return make_request(**self.model_dump(exclude_unset=True, exclude={"type"}))


class StopBody(BaseModel):
    """How to stop: keep what is there (the unfinished picture is decoded), or discard it."""

    keep: bool = True


class Trouble(BaseModel):
    """Why a job failed, and what to do."""

    message: str
    hint: str = ""


class JobImage(BaseModel):
    """One finished picture; fetch it from `url`."""

    index: int
    url: str
    seed: int
    variation_seed: int
    width: int
    height: int
    is_partial: bool


class JobView(BaseModel):
    """What is known of a job now. Also the data of each event; times are seconds since the epoch."""

    id: str
    type: Literal["txt2img", "img2img"]
    state: Literal["queued", "running", "done", "stopped", "error"]
    phase: str | None = Field(description="loading model, encoding, sampling, decoding or saving")
    phase_fraction: float | None
    step: int
    steps: int
    batch: int
    batches: int
    progress: float = Field(description="Share of all steps, 0 to 1.")
    eta: float | None = Field(description="Estimated seconds until the job is done, if that is known.")
    position: int | None = Field(description="Jobs that come first; 0 = running or next, null = finished.")
    elapsed: float = Field(description="Seconds since the job started, without waiting.")
    preview_version: int = Field(description="Grows with every new preview; 0 = none yet.")
    image_count: int
    images: list[JobImage]
    error: Trouble | None
    warnings: list[str]
    version: int = Field(description="Grows with every change.")
    created: float


@dataclass
class PreviewCounter:
    """Numbers the previews that one viewer sees, so that he knows when to fetch the next."""

    preview: object = None
    version: int = 0

    def of(self, status: JobStatus) -> int:
        """A number that grows whenever there is another preview; 0 = none yet."""
        if status.preview is not self.preview:
            self.preview, self.version = status.preview, status.version
        return self.version if status.preview else 0


def view(services: Services, status: JobStatus, previews: PreviewCounter | None = None) -> JobView:
    """The status as JSON, with what only the queue knows: position and ETA. Raises UnknownJob."""
    generation = services.generation
    ended = status.finished if status.finished is not None else time.time()
    error = Trouble(message=status.error.message, hint=status.error.hint) if status.error else None
    return JobView(
        id=status.id,
        type="img2img" if generation.job(status.id).request.img2img else "txt2img",
        state=status.state.value,
        phase=status.phase.value if status.phase else None,
        phase_fraction=status.phase_fraction,
        step=status.step,
        steps=status.steps,
        batch=status.batch,
        batches=status.batches,
        progress=status.progress,
        eta=None if status.state.is_final else generation.eta(status.id),
        position=generation.position(status.id),
        elapsed=max(0.0, ended - status.started) if status.started else 0.0,
        preview_version=(previews or PreviewCounter()).of(status),
        image_count=len(status.images),
        images=_images(status),
        error=error,
        warnings=list(status.warnings),
        version=status.version,
        created=status.created,
    )


def _images(status: JobStatus) -> list[JobImage]:
    return [
        JobImage(
            index=index,
            url=f"api/v1/jobs/{status.id}/images/{index}",
            seed=image.seed,
            variation_seed=image.variation_seed,
            width=image.width,
            height=image.height,
            is_partial=image.is_partial,
        )
        for index, image in enumerate(status.images)
    ]


class HistoryImage(BaseModel):
    """A saved picture; fetch it from `url`."""

    id: int
    url: str
    created: datetime
    job_id: str
    seed: int
    width: int
    height: int
    prompt: str
    negative_prompt: str
    model_name: str
    model_hash: str
    infotext: str
    sha256: str
    is_partial: bool

    @staticmethod
    def of(row: HistoryRow) -> HistoryImage:
        """The row without its path: where files lie is nobody's business."""
        values: dict[str, Any] = {  # Any: values of any column
            name: getattr(row, name) for name in HistoryImage.model_fields if name not in ("url", "created")
        }
        created = datetime.fromtimestamp(row.created, UTC)
        return HistoryImage(url=f"api/v1/history/{row.id}/image", created=created, **values)


class HistoryPage(BaseModel):
    """Some pictures, newest first, and how many there are in all."""

    total: int
    images: list[HistoryImage]
