"""The worker of this process: from a job to pictures with infotext."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace

from engine.components import Components
from engine.device import Memory, Precision, choose_device, choose_placement, torchvision_problem
from engine.frugal import TilingVae, generate_frugally
from engine.generate import Picture
from engine.load_plan import LoadingStopped
from engine.pipeline_manager import PipelineManager
from engine.preview import PreviewSettings
from generation.errors import ModelFileError
from generation.infotext import format_infotext
from generation.job import Job, JobChannel, Produced, Warned
from generation.lora_use import lora_hashes
from generation.metadata import write_png
from generation.request import GenerationRequest
from generation.request_json import request_to_json
from generation.result import GeneratedImage

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How a worker computes. `device`: auto, cpu, cuda, cuda:1, mps. `dtype`: auto, fp32, bf16, fp16.

    `channels_last`, `gemm_attention`: None = where it is faster.
    """

    device: str = "auto"
    dtype: str = Precision.AUTO
    channels_last: bool | None = None
    gemm_attention: bool | None = None
    preview: PreviewSettings = field(default_factory=PreviewSettings)


class LocalWorker:
    """Makes pictures in the thread that made it. The device is opened with the first job, not before."""

    def __init__(self, name: str, settings: WorkerSettings | None = None) -> None:
        self.name = name
        self._settings = settings or WorkerSettings()
        self._manager: PipelineManager | None = None

    def generate(self, job: Job, channel: JobChannel) -> None:
        """Emits a Produced for each finished picture; returns when all are made or a stop was asked for.

        Raises UserError for what the user can mend: model files, sizes, memory.
        """
        manager = self._opened()
        try:
            components = manager.ensure_loaded(job.checkpoint, job.vae, channel)
            manager.use_loras(job.loras, channel)
        except LoadingStopped:
            return
        careful = replace(components, vae=_forgiving_vae(components, channel))
        preview = replace(self._settings.preview, size=job.preview_size)
        pictures = generate_frugally(careful, job.request, channel, manager.conditioner, preview)
        for index, picture in enumerate(pictures):
            channel.emit(Produced(finished_image(job, picture, index)))

    @property
    def memory(self) -> Memory | None:
        """Free and used memory; None before the first job."""
        return self._manager.memory if self._manager else None

    def close(self) -> None:
        """Frees the model."""
        if self._manager is not None:
            self._manager.unload()

    def _opened(self) -> PipelineManager:
        if self._manager is None:
            self._manager = open_manager(self._settings)
        return self._manager


def open_manager(settings: WorkerSettings) -> PipelineManager:
    """A manager on the chosen device, owned by the calling thread.

    Raises InvalidRequest for a device that is not there, ModelFileError if a broken torchvision blocks loading.
    """
    if problem := torchvision_problem():
        raise ModelFileError("Models cannot be loaded.", problem)
    device = choose_device(settings.device)
    placement = choose_placement(device, settings.dtype)
    if settings.channels_last is not None:
        placement = replace(placement, channels_last=settings.channels_last)
    if settings.gemm_attention is not None:
        placement = replace(placement, gemm_attention=settings.gemm_attention)
    log.info("computing on %s, weights in %s, autoencoder in %s", device, placement.dtype, placement.vae_dtype)
    return PipelineManager(placement)


def _forgiving_vae(components: Components, channel: JobChannel) -> TilingVae:
    return TilingVae(components.vae, components, lambda sentence: channel.emit(Warned(sentence)))


def finished_image(job: Job, picture: Picture, index: int) -> GeneratedImage:
    """Picture number `index` of the job as PNG bytes, with its infotext and its own request inside."""
    model_hash = job.checkpoint.short_hash or ""
    infotext = format_infotext(
        job.request,
        seed=picture.seed,
        variation_seed=picture.variation_seed,
        model_name=job.checkpoint.name,
        model_hash=model_hash,
        vae_name=job.vae.filename if job.vae else "",
        vae_hash=(job.vae.short_hash or "") if job.vae else "",
        extra={"Lora hashes": lora_hashes(job.loras) or None},
    )
    request_json = request_to_json(request_for_one(job.request, picture, index), job.checkpoint.name, model_hash)
    height, width = picture.pixels.shape[:2]
    return GeneratedImage(
        seed=picture.seed,
        infotext=infotext,
        width=width,
        height=height,
        png=write_png(picture.pixels, infotext, request_json),
        variation_seed=picture.variation_seed,
        is_partial=picture.is_partial,
    )


def request_for_one(request: GenerationRequest, picture: Picture, index: int) -> GenerationRequest:
    """The request that makes this picture alone, whatever batch it came from."""
    changes: dict[str, object] = {
        "seed": picture.seed,
        "variation_seed": picture.variation_seed,
        "batch_size": 1,
        "batch_count": 1,
    }
    if request.img2img:
        images = request.img2img.init_images
        own = {"init_images": (images[index % len(images)],)}
        changes["img2img"] = request.img2img.model_copy(update=own)
    return request.model_copy(update=changes)
