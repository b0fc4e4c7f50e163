"""`launch.sh generate`: one picture without a browser, through the same services as everything else."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from service.services import Services

    from generation.job import JobId, JobStatus
    from generation.request import GenerationRequest


def generate(services: Services, options: argparse.Namespace) -> None:
    """Makes the picture and writes it to `options.output`.

    Raises UserError if the request is bad or the job fails, OSError if a file cannot be read or written.
    """
    from generation.errors import UserError

    job = services.generation.submit(_request(services, options))
    status = asyncio.run(_watched(services, job))
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


def _request(services: Services, options: argparse.Namespace) -> GenerationRequest:
    from generation.request import make_request
    from generation.sampler_info import resolve

    values: dict[str, Any] = services.generation.defaults(options.model)  # Any: values of any field
    for field in ("negative_prompt", "seed", "steps", "cfg_scale", "width", "height", "model"):
        if getattr(options, field) is not None:
            values[field] = getattr(options, field)
    values["sampler"], values["schedule"] = resolve(
        options.sampler or values["sampler"], options.schedule or values["schedule"]
    )
    if options.init_image:
        picture = options.init_image.read_bytes()
        values["img2img"] = {"init_images": (picture,), "denoising_strength": options.denoising_strength}
    return make_request(**values, prompt=options.prompt, save=False)
