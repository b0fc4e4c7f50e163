"""From what a client asked for to a job with everything resolved."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from generation.errors import InvalidRequest, UnknownName, UserError
from generation.job import Job, JobId
from generation.model_card import ModelCard, ModelKind
from generation.request import RANDOM_SEEDS, GenerationRequest
from generation.sampler_info import AUTOMATIC
from service.catalog import Catalog
from service.limits import Limits
from service.lora_choice import choose_loras, with_hash
from service.preferences import Preferences, PreferenceStore

NO_VAE = "None"  # A1111's word for "the one inside the checkpoint"
_JOB_ID = re.compile(r"[A-Za-z0-9._~()-]{1,128}")


@dataclass(frozen=True, slots=True)
class Submission:
    """A job, what the client sent, and the preferences as they were then: later changes do not touch it."""

    job: Job
    asked: GenerationRequest
    preferences: Preferences
    warnings: tuple[str, ...] = ()


def checked_job_id(job_id: str | None) -> JobId:
    """The id a client chose, or a new one that nobody can guess. Raises InvalidRequest."""
    if job_id is None:
        return JobId(secrets.token_urlsafe(16))
    if not _JOB_ID.fullmatch(job_id) or set(job_id) == {"."} or job_id == "..":
        raise InvalidRequest(
            f"The job id {job_id[:140]!r} cannot be used.",
            "Use 1 to 128 letters, digits or . _ ~ - ( ), or leave it out.",
            "id",
        )
    return JobId(job_id)


@dataclass(frozen=True)
class Resolver:
    """Fills in what a request leaves open: seeds, model, VAE, and fields that were not set."""

    catalog: Catalog
    preferences: PreferenceStore
    limits: Limits
    draw: Callable[[int], int] = secrets.randbelow  # 0 <= number < argument
    clock: Callable[[], float] = time.time

    def resolve(self, asked: GenerationRequest, owner: str = "", job_id: str | None = None) -> Submission:
        """A submission ready to be queued.

        Fields that the client did not set come from the model's own defaults, else from the preferences.
        Raises UnknownName (model, VAE), InvalidRequest (limits, id) or UserError (no model at all).
        """
        preferences = self.preferences.get()
        checkpoint, warnings = self._checkpoint(asked.model, preferences)
        request = asked.with_changes(**_defaults(asked, checkpoint, preferences))
        vae, vae_warnings = self._vae(request.vae, checkpoint, preferences)
        drawn = {
            name: self.draw(RANDOM_SEEDS) for name in ("seed", "variation_seed") if getattr(request, name) < 0
        }
        request = request.model_copy(update={"model": checkpoint.name, **drawn})
        self.limits.check(request)
        hires_prompt = request.hires.prompt if request.hires else ""
        loras = choose_loras(request.prompt, self.catalog, hires_prompt)
        job = Job(
            checked_job_id(job_id),
            request,
            checkpoint,
            vae,
            owner,
            self.clock(),
            preferences.preview_size,
            loras.uses,
        )
        return Submission(job, asked, preferences, warnings + vae_warnings + loras.warnings)

    def brought_up_to_date(self, submission: Submission) -> Submission:
        """The same with what has become known of its model files since: their hashes belong into the picture."""
        job = submission.job
        checkpoint = self.catalog.current(job.checkpoint)
        vae = self.catalog.current(job.vae) if job.vae else None
        loras = tuple(with_hash(use, self.catalog) for use in job.loras)
        return replace(submission, job=replace(job, checkpoint=checkpoint, vae=vae, loras=loras))

    def _checkpoint(self, name: str, preferences: Preferences) -> tuple[ModelCard, tuple[str, ...]]:
        if name.strip():
            return self.catalog.find(name), ()
        gone = ""
        if preferences.sd_model_checkpoint:
            try:
                return self.catalog.find(preferences.sd_model_checkpoint), ()
            except UnknownName:
                gone = f"The chosen checkpoint {preferences.sd_model_checkpoint!r} was not found"
        card = self.catalog.default()
        if card is None:
            raise UserError("No model was found.", self.catalog.where_to_put_models(), "model")
        return card, (f"{gone}; {card.name!r} was used instead.",) if gone else ()

    def _vae(
        self, name: str, checkpoint: ModelCard, preferences: Preferences
    ) -> tuple[ModelCard | None, tuple[str, ...]]:
        if name == NO_VAE:
            return None, ()
        if name == AUTOMATIC:
            return self.catalog.vae_beside(checkpoint), ()
        try:
            return self.catalog.find(name, ModelKind.VAE), ()
        except UnknownName:
            if name != preferences.sd_vae:
                raise
        return None, (f"The chosen VAE {name!r} was not found; the checkpoint's own was used instead.",)


def _defaults(asked: GenerationRequest, card: ModelCard, preferences: Preferences) -> dict[str, Any]:
    """Values for the fields that the client left unset (or empty, where that means the current choice)."""
    own = card.defaults
    wished: dict[str, Any] = {
        "steps": own.default_steps or preferences.default_steps,
        "cfg_scale": preferences.default_cfg_scale if own.default_cfg_scale is None else own.default_cfg_scale,
        "sampler": own.default_sampler or preferences.default_sampler,
        "schedule": own.default_schedule or preferences.default_schedule,
        "clip_skip": preferences.clip_skip,
        "save": preferences.save_images,
        "vae": preferences.sd_vae,
    }
    if own.native_size is not None and not asked.model_fields_set & {"width", "height"}:
        wished["width"] = wished["height"] = own.native_size
    values = {name: value for name, value in wished.items() if name not in asked.model_fields_set}
    if not asked.vae.strip():
        values["vae"] = preferences.sd_vae
    if "eta_noise_seed_delta" not in asked.sampling.model_fields_set:
        delta = preferences.eta_noise_seed_delta
        values["sampling"] = asked.sampling.model_copy(update={"eta_noise_seed_delta": delta})
    return values
