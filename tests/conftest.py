"""Fixtures that tests of all layers share. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from service.services import Services, build_services
from tests.fakes import FakeWorker

# The same examples in every run, and no time limit that a busy machine would break.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture
def anyio_backend() -> str:
    """Async tests (`pytest.mark.anyio`) run on asyncio."""
    return "asyncio"


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    """A models folder with one checkpoint, `painter`, and one VAE, `crisp`; the files hold no real weights."""
    folder = tmp_path / "models"
    for name, content in (
        ("Stable-diffusion/painter.safetensors", b"painter"),
        ("VAE/crisp.safetensors", b"crisp"),
    ):
        file = folder / name
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
    return folder


@pytest.fixture
def fake_worker() -> FakeWorker:
    """The only worker of `services`; hold it, make it fail, look at what it was given."""
    return FakeWorker()


@pytest.fixture
def services(tmp_path: Path, models_dir: Path, fake_worker: FakeWorker) -> Iterator[Services]:
    """Complete services around `fake_worker`, with all files below `tmp_path`."""
    built = build_services(
        worker_factories={"fake": fake_worker},
        models_dirs=[models_dir],
        outputs_dir=tmp_path / "outputs",
        data_dir=tmp_path / "data",
    )
    yield built
    built.close()
