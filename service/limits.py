"""What the operator of this server allows, where it is tighter than what a request may hold."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import NoReturn

from PIL import Image

from generation.errors import InvalidRequest
from generation.hires import second_pass
from generation.request import GenerationRequest


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps of one server. The defaults suit one person's own machine; a public server tightens them.

    `max_pixels` is width x height of one picture, `max_batch_pixels` that of all pictures of one batch.
    """

    max_pixels: int = 4096 * 4096
    max_batch_pixels: int = 8 * 2048 * 2048
    max_steps: int = 1000
    max_batch_size: int = 64
    max_images_per_job: int = 1000
    max_queue_length: int = 1000
    max_queue_per_owner: int = 1000
    max_upload_bytes: int = 64 * 2**20
    max_init_pixels: int = 64_000_000

    def check(self, request: GenerationRequest) -> None:
        """Raises InvalidRequest naming the first value that is over a cap."""
        pixels = request.width * request.height
        too_many = "more than this server allows"
        if pixels > self.max_pixels:
            size = f"{request.width}x{request.height}"
            _refuse(f"{size} is {pixels:,} pixels, {too_many} ({self.max_pixels:,}).", "Lower the size.", "width")
        if request.steps > self.max_steps:
            _refuse(f"{request.steps} steps are {too_many} ({self.max_steps}).", "Lower the steps.", "steps")
        if request.batch_size > self.max_batch_size:
            asked = f"A batch of {request.batch_size} pictures is {too_many} ({self.max_batch_size})."
            _refuse(asked, "Lower the batch size and raise the batch count.", "batch_size")
        if pixels * request.batch_size > self.max_batch_pixels:
            asked = f"A batch of {pixels * request.batch_size:,} pixels is {too_many} ({self.max_batch_pixels:,})."
            _refuse(asked, "Lower the batch size or the picture size.", "batch_size")
        if request.image_count > self.max_images_per_job:
            asked = f"{request.image_count} pictures in one job are {too_many} ({self.max_images_per_job})."
            _refuse(asked, "Lower the batch count.", "batch_count")
        self._check_uploads(request)
        if request.hires is not None:
            self._check_second_pass(second_pass(request, request.hires))

    def _check_second_pass(self, later: GenerationRequest) -> None:
        try:
            self.check(later)
        except InvalidRequest as error:
            field = "hires.steps" if error.field == "steps" else "hires.scale"
            message = f"In the second pass: {error.message}"
            raise InvalidRequest(
                message, "Lower the hires scale, size or steps, or the batch size.", field
            ) from None

    def _check_uploads(self, request: GenerationRequest) -> None:
        if request.img2img is None:
            return
        uploads = [("img2img.init_images", picture) for picture in request.img2img.init_images]
        if request.img2img.inpaint is not None:
            uploads.append(("img2img.inpaint.mask", request.img2img.inpaint.mask))
        total = sum(len(picture) for _, picture in uploads)
        if total > self.max_upload_bytes:
            asked = f"The uploaded pictures are {total / 2**20:.1f} MB, more than this server allows"
            _refuse(f"{asked} ({self.max_upload_bytes / 2**20:.0f} MB).", "Send smaller pictures.", uploads[0][0])
        for field, picture in uploads:
            self._check_picture(field, picture)

    def _check_picture(self, field: str, picture: bytes) -> None:
        """Reads the header only: a small file may claim to be a huge picture."""
        try:
            with Image.open(io.BytesIO(picture)) as opened:
                width, height = opened.size
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            _refuse(
                f"An uploaded file of {len(picture):,} bytes is not a picture that can be read.",
                "Send a PNG, JPEG or WebP file.",
                field,
            )
        if width * height > self.max_init_pixels:
            asked = f"An uploaded picture of {width}x{height} is larger than this server allows"
            _refuse(f"{asked} ({self.max_init_pixels:,} pixels).", "Send a smaller picture.", field)


def _refuse(message: str, hint: str, field: str) -> NoReturn:
    raise InvalidRequest(message, hint, field)


DEFAULT_LIMITS = Limits()
