"""Everything the front doors need, in one frozen bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from generation.model_card import ModelKind
from generation.sampler_info import AUTOMATIC
from service.catalog import Catalog
from service.database import Database
from service.file_hashes import FileHashes
from service.generation_service import GenerationService
from service.history import History
from service.job_entry import Hooks
from service.job_queue import JobQueue
from service.keeper import Keeper
from service.limits import DEFAULT_LIMITS, Limits
from service.outputs import Outputs
from service.preferences import Lookup, PreferenceStore
from service.queue_journal import QueueJournal, open_journal, take_over
from service.speed import SpeedBook
from service.submission import NO_VAE, Resolver
from service.trash import Trash
from service.worker import WorkerFactory


@dataclass(frozen=True)
class Services:
    """What happens, ready to be used by any front door. `close` it at the end."""

    generation: GenerationService
    catalog: Catalog
    history: History
    preferences: PreferenceStore
    outputs: Outputs
    limits: Limits
    trash: Trash
    journal: QueueJournal | None = None

    def close(self) -> None:
        """Stop all jobs and threads."""
        self.generation.close()
        self.catalog.close()
        if self.journal is not None:
            self.journal.close()


def build_services(
    *,
    worker_factories: Mapping[str, WorkerFactory],
    models_dirs: Sequence[Path],
    outputs_dir: Path,
    data_dir: Path,
    limits: Limits = DEFAULT_LIMITS,
    hash_models: bool = True,
    keep_queue: bool = False,
) -> Services:
    """Services with running threads. Raises StorageError if the data folder cannot be written.

    `keep_queue`: jobs that are not done when the program ends, however suddenly, are there at the next start.
    Only one program at a time can do so with one data folder.
    """
    database = Database(data_dir / "easel.db")
    catalog = Catalog(models_dirs, FileHashes(database))
    preferences = PreferenceStore(data_dir / "preferences.json", model_lookups(catalog))
    outputs = Outputs(outputs_dir)
    history = History(database, outputs_dir)
    speed = SpeedBook()
    resolver = Resolver(catalog, preferences, limits)
    keeper = Keeper(outputs, history)
    hooks = Hooks(starting=resolver.brought_up_to_date, translate=keeper.translate, settled=speed.learn)
    journal = open_journal(data_dir) if keep_queue else None
    queue = JobQueue(
        worker_factories,
        limits=limits,
        hooks=hooks,
        journal=journal,
        restored=take_over(journal, preferences.get().interrupted_jobs) if journal else (),
        is_paused=journal is not None and journal.was_paused(),
    )
    if hash_models:
        catalog.start_hashing()
    generation = GenerationService(queue, resolver, speed)
    trash = Trash(history, outputs_dir)
    return Services(generation, catalog, history, preferences, outputs, limits, trash, journal)


def model_lookups(catalog: Catalog) -> dict[str, Lookup]:
    """How the settings that name models are listed and checked."""

    def vae_choices() -> list[str]:
        return [AUTOMATIC, NO_VAE, *(card.title for card in catalog.vaes())]

    def find_vae(name: str) -> str:
        for special in (AUTOMATIC, NO_VAE):
            if name.strip().casefold() in (special.casefold(), ""):
                return special
        return catalog.find(name, ModelKind.VAE).title

    return {
        "sd_model_checkpoint": Lookup(
            choices=lambda: [card.title for card in catalog.checkpoints()],
            resolve=lambda name: catalog.find(name).title if name.strip() else "",
        ),
        "sd_vae": Lookup(choices=vae_choices, resolve=find_vae),
    }
