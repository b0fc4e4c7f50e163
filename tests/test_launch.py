"""`launch.sh`, with an environment whose interpreter only writes down how it was called."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


class Launcher:
    """A copy of the script and its requirements in an empty folder, with a recording interpreter."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = folder / "calls"
        for name in ("launch.sh", "requirements.txt", "requirements-test.txt"):
            shutil.copy(ROOT / name, folder / name)
        python = folder / ".venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\necho "$@" >> "{self.calls}"\n[ "$FAIL" != "$2" ]\n')
        python.chmod(0o755)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        self.calls.write_text("")
        return subprocess.run(
            ["bash", str(self.folder / "launch.sh"), *arguments],
            env={**os.environ, "VENV": ".venv", **environment},
            capture_output=True,
            text=True,
        )

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines()


@pytest.fixture
def launcher(tmp_path: Path) -> Launcher:
    return Launcher(tmp_path)


def test_first_start_installs_then_serves(launcher: Launcher) -> None:
    assert launcher.run("--port", "7999").returncode == 0
    install, serve = launcher.called()
    assert install.startswith("-m pip install")
    assert install.endswith("requirements.txt")
    assert serve == "webui.py --port 7999"


def test_second_start_installs_nothing(launcher: Launcher) -> None:
    launcher.run()
    launcher.run()
    assert launcher.called() == ["webui.py"]


def test_changed_requirements_are_installed_again(launcher: Launcher) -> None:
    launcher.run()
    with (launcher.folder / "requirements.txt").open("a") as requirements:
        requirements.write("# changed\n")
    launcher.run()
    assert len(launcher.called()) == 2


def test_a_failed_install_is_a_sentence_and_is_tried_again(launcher: Launcher) -> None:
    failed = launcher.run(FAIL="pip")
    assert failed.returncode != 0
    assert "could not install requirements.txt" in failed.stderr
    assert "webui.py" not in launcher.called()
    launcher.run()
    assert launcher.called()[0].startswith("-m pip install")


def test_test_installs_its_own_requirements_and_hands_arguments_on(launcher: Launcher) -> None:
    launcher.run("test", "tests/generation", "-k", "two words", CHROMIUM="sh")
    assert [call.split()[-1] for call in launcher.called()[:2]] == ["requirements.txt", "requirements-test.txt"]
    assert launcher.called()[-1] == "-m pytest tests/generation -k two words"


def test_generate_is_handed_on(launcher: Launcher) -> None:
    launcher.run("generate", "a red apple", "-o", "apple.png")
    assert launcher.called()[-1] == "webui.py generate a red apple -o apple.png"
