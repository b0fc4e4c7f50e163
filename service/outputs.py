"""Where pictures are written: folders, file names, never over another file."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from generation.errors import StorageError
from generation.job import Job
from generation.result import GeneratedImage
from service.file_names import FileFacts, file_stem, folder_parts
from service.files import write_new_file

_NUMBERED = re.compile(r"(\d{5,})(?:-.*)?\.[A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Naming:
    """Patterns of folder and file name, with words like [seed]; `/` in the folder pattern makes sub-folders."""

    folder: str = "[date]"
    file: str = "[seed]-[prompt_spaces]"


class Outputs:
    """The outputs folder. `save` may be called from any thread."""

    def __init__(
        self,
        root: Path,
        *,
        write: Callable[[Path, bytes], None] = write_new_file,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self.root = root
        self._write = write
        self._now = now
        self._lock = threading.Lock()
        self._last: dict[Path, int] = {}  # highest running number given out, per folder

    def save(self, job: Job, image: GeneratedImage, index: int, naming: Naming = Naming()) -> Path:
        """Write picture `index` (from 0) of the job and return its path, `NNNNN-….png` below the root.

        Raises StorageError naming the folder and the reason; then nothing was written.
        """
        facts = FileFacts(job, image, index, self._now())
        folder = self.root.joinpath(*folder_parts(naming.folder, facts))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._stay_inside(folder)
            return self._write_numbered(folder, file_stem(naming.file, facts), image.png)
        except OSError as error:
            raise StorageError(
                f"The picture could not be saved in {folder}: {error.strerror or error}.",
                "Free some space or make the folder writable. Until the server stops it can be downloaded here.",
            ) from error

    def _stay_inside(self, folder: Path) -> None:
        """A link planted in the outputs folder must not lead a picture elsewhere."""
        if not folder.resolve().is_relative_to(self.root.resolve()):
            raise StorageError(f"The folder {folder} leads out of the outputs folder.", "Remove the link.")

    def _write_numbered(self, folder: Path, stem: str, png: bytes) -> Path:
        while True:
            number = self._next_number(folder)
            path = folder / (f"{number:05d}-{stem}.png" if stem else f"{number:05d}.png")
            try:
                self._write(path, png)
            except FileExistsError:
                continue  # another process numbered the same; the next number is free
            return path

    def _next_number(self, folder: Path) -> int:
        with self._lock:
            if folder not in self._last:
                names = (_NUMBERED.fullmatch(file.name) for file in folder.iterdir())
                self._last[folder] = max((int(match[1]) for match in names if match), default=-1)
            self._last[folder] += 1
            return self._last[folder]
