"""Writes down which jobs are not done yet, so that they survive the end of the program, even `kill -9`."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from generation.errors import StorageError, UserError
from generation.job import Job, JobId
from generation.lora_use import LoraUse
from generation.model_card import ModelCard
from generation.request import GenerationRequest
from service.database import MIGRATIONS, Database, ExclusiveLock
from service.preference_fields import InterruptedJobs, Preferences, usable
from service.submission import Submission

log = logging.getLogger(__name__)

INTERRUPTED = "Interrupted when the server stopped; it starts again from the beginning."


@dataclass(frozen=True, slots=True)
class UnfinishedJob:
    """A job of an earlier run of the program. `was_running`: it was interrupted."""

    submission: Submission
    was_running: bool
    held: str


class Journal(Protocol):
    """What the queue tells as jobs come and go. No method raises: a broken disk must not stop the queue."""

    def prepared(self, submission: Submission) -> str:
        """What `added` will write. Asked for outside the queue's lock: uploads may be large."""
        ...

    def added(self, job_id: JobId, prepared: str, *, front: bool) -> None:
        """A job was put into the queue."""
        ...

    def ordered(self, waiting: Sequence[JobId]) -> None:
        """The waiting jobs are in this order now."""
        ...

    def held(self, job_id: JobId, reason: str) -> None:
        """The job waits to be released; "" = no more."""
        ...

    def taken(self, job_id: JobId) -> None:
        """A worker took the job."""
        ...

    def done(self, job_id: JobId) -> None:
        """Nothing more will happen to the job."""
        ...

    def paused(self, is_paused: bool) -> None:
        """The whole queue was paused or resumed."""
        ...


class NoJournal:
    """Writes nothing: jobs end with the program."""

    def prepared(self, submission: Submission) -> str:
        """Nothing."""
        return ""

    def added(self, job_id: JobId, prepared: str, *, front: bool) -> None:
        """Nothing."""

    def ordered(self, waiting: Sequence[JobId]) -> None:
        """Nothing."""

    def held(self, job_id: JobId, reason: str) -> None:
        """Nothing."""

    def taken(self, job_id: JobId) -> None:
        """Nothing."""

    def done(self, job_id: JobId) -> None:
        """Nothing."""

    def paused(self, is_paused: bool) -> None:
        """Nothing."""


class QueueJournal:
    """The journal in SQLite. Only one program at a time may have it open: `open_journal`."""

    def __init__(self, database: Database, lock: ExclusiveLock) -> None:
        self._database = database
        self._lock = lock

    def close(self) -> None:
        """Let another program have the journal."""
        self._lock.release()

    def prepared(self, submission: Submission) -> str:
        """The job with all it needs to run, as JSON."""
        return submission_json(submission)

    def added(self, job_id: JobId, prepared: str, *, front: bool) -> None:
        """Write the job down."""
        place = "(SELECT COALESCE(MIN(place), 0) - 1 FROM jobs)" if front else _LAST
        query = f"INSERT OR REPLACE INTO jobs (job_id, place, submission) VALUES (?, {place}, ?)"
        self._write(query, (job_id, prepared))

    def ordered(self, waiting: Sequence[JobId]) -> None:
        """Renumber the waiting jobs."""
        self._write("UPDATE jobs SET place = ? WHERE job_id = ?", *enumerate(waiting))

    def held(self, job_id: JobId, reason: str) -> None:
        """Note why the job waits; it does wait, so it counts as interrupted no more."""
        self._write("UPDATE jobs SET held = ?, is_running = 0 WHERE job_id = ?", (reason, job_id))

    def taken(self, job_id: JobId) -> None:
        """From now on the job counts as interrupted if the program ends."""
        self._write("UPDATE jobs SET is_running = 1 WHERE job_id = ?", (job_id,))

    def done(self, job_id: JobId) -> None:
        """Forget the job."""
        self._write("DELETE FROM jobs WHERE job_id = ?", (job_id,))

    def paused(self, is_paused: bool) -> None:
        """Remember it for the next start."""
        query = "INSERT OR REPLACE INTO state (name, value) VALUES ('is_paused', ?)"
        self._write(query, ("1" if is_paused else "0",))

    def _write(self, query: str, *rows: Sequence[object]) -> None:
        try:
            with self._database.write() as connection:
                connection.executemany(query, rows)
        except StorageError as error:
            log.warning("Waiting jobs may not survive a restart: %s", error)

    def was_paused(self) -> bool:
        """True if the queue was paused when the program ended."""
        with self._database.read() as connection:
            row = connection.execute("SELECT value FROM state WHERE name = 'is_paused'").fetchone()
        return row is not None and row["value"] == "1"

    def unfinished(self) -> list[UnfinishedJob]:
        """The jobs of the last run, interrupted ones first. One that cannot be read is logged and dropped."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT * FROM jobs ORDER BY is_running DESC, place").fetchall()
        jobs = []
        for row in rows:
            try:
                submission = submission_from_json(row["submission"])
            except (ValueError, KeyError, TypeError, ValidationError, UserError) as error:
                log.warning("The waiting job %s of an earlier run cannot be read: %s", row["job_id"], error)
                self.done(JobId(row["job_id"]))
                continue
            jobs.append(UnfinishedJob(submission, bool(row["is_running"]), row["held"]))
        return jobs


_LAST = "(SELECT COALESCE(MAX(place), -1) + 1 FROM jobs)"


def open_journal(data_dir: Path) -> QueueJournal | None:
    """The journal in this folder; None, with a warning, if another program has it open. Raises StorageError."""
    database = Database(data_dir / "queue.db", MIGRATIONS / "queue")
    lock = ExclusiveLock.take(data_dir / "queue.lock")
    if lock is None:
        log.warning("Another server uses %s: jobs of this one do not survive a restart.", data_dir)
        return None
    return QueueJournal(database, lock)


def take_over(journal: QueueJournal, interrupted: InterruptedJobs) -> list[tuple[Submission, str]]:
    """The jobs of the last run in the order to run, each with the reason why it is held ("" = it is not)."""
    jobs = []
    for job in journal.unfinished():
        submission, held = job.submission, job.held
        if job.was_running:
            submission = replace(submission, warnings=(*submission.warnings, INTERRUPTED))
            held = INTERRUPTED if interrupted is InterruptedJobs.HOLD else ""
            journal.held(submission.job.id, held)
        jobs.append((submission, held))
    journal.ordered([submission.job.id for submission, _ in jobs])
    return jobs


def submission_json(submission: Submission) -> str:
    """All of a submission as JSON. Uploaded pictures are in it once, in base64."""
    job = submission.job
    values = {
        "id": job.id,
        "owner": job.owner,
        "created": job.created,
        "preview_size": job.preview_size,
        "request": job.request.model_dump(mode="json"),
        "checkpoint": job.checkpoint.model_dump(mode="json"),
        "vae": job.vae.model_dump(mode="json") if job.vae else None,
        "loras": [{**asdict(use), "path": str(use.path)} for use in job.loras],
        "asked": submission.asked.model_dump(mode="json", exclude_unset=True, exclude={"img2img"}),
        "preferences": submission.preferences.model_dump(mode="json"),
        "warnings": submission.warnings,
    }
    return json.dumps(values, ensure_ascii=False)


def submission_from_json(text: str) -> Submission:
    """The submission that `submission_json` wrote. Raises ValueError, KeyError or pydantic's ValidationError."""
    values: dict[str, Any] = json.loads(text)  # Any: checked by the models below
    request = GenerationRequest.model_validate_json(json.dumps(values["request"]))
    asked = GenerationRequest.model_validate_json(json.dumps(values["asked"]))
    if request.img2img is not None:
        asked = asked.model_copy(update={"img2img": request.img2img})
    job = Job(
        id=JobId(values["id"]),
        request=request,
        checkpoint=ModelCard.model_validate(values["checkpoint"]),
        vae=ModelCard.model_validate(values["vae"]) if values["vae"] else None,
        owner=values["owner"],
        created=values["created"],
        preview_size=values["preview_size"],
        # Jobs that an earlier version wrote down have none.
        loras=tuple(LoraUse(**{**use, "path": Path(use["path"])}) for use in values.get("loras", ())),
    )
    preferences = Preferences(**usable(values["preferences"]))
    return Submission(job, asked, preferences, tuple(values["warnings"]))
