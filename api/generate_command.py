"""`launch.sh generate`: one picture without a browser, through the same services as everything else."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING, Any

from generation.errors import UserError
from generation.request import GenerationRequest, make_request
from generation.sampler_info import AUTOMATIC, resolve

if TYPE_CHECKING:
    from generation.job import JobId, JobStatus
    from service.services import Services

FIELDS = ("prompt", "negative_prompt", "seed", "steps", "cfg_scale", "width", "height", "model")


def generate(services: Services, options: argparse.Namespace) -> None:
    """Makes the picture and writes it to `options.output`.

    Raises UserError if the request is bad or the job fails, OSError if a file cannot be read or written.
    """
    job = services.generation.submit(_request(options))
    status = asyncio.run(_watched(services, job))
    for warning in status.warnings:
        sys.stderr.write(f"Warning: {warning}\n")
    if status.error:
        raise UserError(status.error.message, status.error.hint)
    options.output.write_bytes(status.images[0].read_png())
    sys.stdout.write(f"Wrote {options.output} (seed {status.images[0].seed})\n")


async def _watched(services: Services, job: JobId) -> JobStatus:
    """The final status; a terminal shows how far the job is."""
    status = services.generation.status(job)
    async for status in services.generation.watch(job):
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{status.phase or status.state} {status.step}/{status.steps}\x1b[K")
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    return status


def _request(options: argparse.Namespace) -> GenerationRequest:
    """A request with only the fields that were given; the rest is decided when it is submitted."""
    values: dict[str, Any] = {  # Any: values of any field
        field: value for field in FIELDS if (value := getattr(options, field)) is not None
    }
    if options.sampler:
        values["sampler"], schedule = resolve(options.sampler, options.schedule or AUTOMATIC)
        if schedule != AUTOMATIC:
            values["schedule"] = schedule
    elif options.schedule:
        values["schedule"] = options.schedule
    if options.init_image:
        picture = options.init_image.read_bytes()
        values["img2img"] = {"init_images": (picture,), "denoising_strength": options.denoising_strength}
    return make_request(**values, save=False)
