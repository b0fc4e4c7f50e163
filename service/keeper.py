"""Puts finished pictures into the outputs folder and the history."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

from generation.errors import UserError
from generation.job import Event, JobStatus, Produced, Warned
from generation.result import GeneratedImage
from service.history import History
from service.outputs import Naming, Outputs
from service.submission import Submission

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Keeper:
    """Keeps pictures, on the worker's thread, before anybody is told of them."""

    outputs: Outputs
    history: History

    def translate(self, submission: Submission, status: JobStatus, event: Event) -> Iterable[Event]:
        """A produced picture is published once it is saved. One that cannot be saved stays in memory."""
        if not isinstance(event, Produced) or not submission.job.request.save:
            return (event,)
        image, warnings = self._keep(submission, event.image, len(status.images))
        return (*(Warned(warning) for warning in warnings), Produced(image))

    def _keep(self, submission: Submission, image: GeneratedImage, index: int) -> tuple[GeneratedImage, list[str]]:
        job, preferences = submission.job, submission.preferences
        naming = Naming(preferences.folder_pattern, preferences.file_name_pattern)
        try:
            path = self.outputs.save(job, image, index, naming)
        except UserError as error:
            log.warning("job %s: %s", job.id[:8], error)
            return image, [str(error)]
        try:
            self.history.add(job, replace(image, path=path))
        except UserError as error:
            log.warning("job %s: %s", job.id[:8], error)
            return image.saved_as(path), [str(error)]
        return image.saved_as(path), []
