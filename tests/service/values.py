"""Small valid values for the tests of this layer."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from generation.job import Job, JobId
from generation.model_card import ModelCard
from generation.request import make_request
from generation.result import GeneratedImage
from service.preferences import Preferences
from service.submission import Submission
from tests.fakes import png_of

PAINTER = ModelCard(name="painter", filename="painter.safetensors", path=Path("models/painter.safetensors"))


def a_job(*, owner: str = "", checkpoint: ModelCard = PAINTER, **request: Any) -> Job:
    """A job as the resolver would make it, with seed 1 unless told otherwise."""
    values = {"seed": 1, "variation_seed": 2, "steps": 3, "model": checkpoint.name, **request}
    return Job(JobId(secrets.token_urlsafe(16)), make_request(**values), checkpoint, owner=owner, created=1000.0)


def a_submission(**values: Any) -> Submission:
    """A submission of `a_job(**values)` with default preferences."""
    job = a_job(**values)
    return Submission(job, job.request, Preferences())


def an_image(
    seed: int = 1, infotext: str = "a cat\nSteps: 3, Seed: 1", colour: tuple[int, int, int] = (9, 9, 9)
) -> GeneratedImage:
    """A small finished picture that is not saved yet."""
    return GeneratedImage(seed, infotext, 16, 16, png_of(colour, infotext=infotext))
