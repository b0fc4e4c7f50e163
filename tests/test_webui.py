"""The command line and the composition root, without starting a server."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

import webui
from api.command_line import generate_parser, server_parser

ROOT = Path(webui.__file__).parent


def config(*arguments: str) -> webui.Config:
    return webui.config_of(server_parser().parse_args(arguments))


def test_by_default_only_this_machine_is_served() -> None:
    made = config()
    assert (made.host, made.port, made.users) == ("127.0.0.1", 7860, ())


@pytest.mark.parametrize("opening", [["--listen"], ["--share"], ["--host", "0.0.0.0"], ["--host", "192.168.1.7"]])
def test_an_open_server_without_password_is_refused(opening: list[str]) -> None:
    with pytest.raises(SystemExit, match="--auth NAME:PASSWORD"):
        config(*opening)


def test_an_open_server_starts_with_a_password_or_by_explicit_wish() -> None:
    assert config("--listen", "--auth", "ann:secret:with:colons").users == (("ann", "secret:with:colons"),)
    assert config("--listen", "--no-auth").host == "0.0.0.0"


def test_a_malformed_login_is_refused_without_showing_the_password() -> None:
    with pytest.raises(SystemExit) as refusal:
        config("--auth", "onlyname")
    assert "NAME:PASSWORD" in str(refusal.value)


def test_a_missing_models_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no-such-folder"):
        config("--models-dir", str(tmp_path / "no-such-folder"))


def test_the_repositorys_own_models_are_always_among_the_roots(tmp_path: Path) -> None:
    assert config("--models-dir", str(tmp_path)).paths.models == (ROOT / "models", tmp_path)


def test_data_lies_in_the_outputs_folder_unless_said_otherwise(tmp_path: Path) -> None:
    assert config("--outputs-dir", str(tmp_path)).paths.data == tmp_path / "data"
    assert config("--outputs-dir", str(tmp_path), "--data-dir", str(tmp_path / "d")).paths.data == tmp_path / "d"


def test_a_space_is_served_to_all_under_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_ID", "ann/easel")
    monkeypatch.setenv("SPACE_HOST", "ann-easel.hf.space")
    made = config()
    assert made.host == "0.0.0.0"
    assert made.on_space
    assert "ann-easel.hf.space" in made.allowed_hosts


def test_help_needs_nothing_installed() -> None:
    """`-S` hides every installed package."""
    shown = subprocess.run(
        [sys.executable, "-S", "webui.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for option in (
        "--port",
        "--listen",
        "--share",
        "--models-dir",
        "--outputs-dir",
        "--device",
        "--auth",
        "--log-level",
    ):
        assert option in shown.stdout


def test_a_taken_port_is_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SystemExit, match=r"Choose another with --port"):
            webui.serve(config("--port", str(taken.getsockname()[1])))


def test_generate_takes_what_the_readme_shows() -> None:
    options = generate_parser().parse_args(["a red apple", "--steps", "20", "--seed", "1", "-o", "apple.png"])
    assert (options.prompt, options.steps, options.seed, options.output) == (
        "a red apple",
        20,
        1,
        Path("apple.png"),
    )


def test_a_data_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match="--data-dir"):
        webui.set_environment(tmp_path / "file" / "data")
