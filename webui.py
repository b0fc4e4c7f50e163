"""Composition root: reads the command line, builds the objects by hand, serves. No logic of its own.

Heavy imports stand inside the functions that need them, so that `--help` is instant and the page is up before
torch is imported (which happens in the worker's own thread).
"""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from api import command_line
from generation.errors import UserError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from service.services import Services
    from service.worker import Worker

ROOT = Path(__file__).resolve().parent
log = logging.getLogger("easel")


@dataclass(frozen=True, slots=True)
class Paths:
    """Where files are: model roots, pictures, and settings with history."""

    models: tuple[Path, ...]
    outputs: Path
    data: Path


@dataclass(frozen=True, slots=True)
class Config:
    """The command line and the environment, read once. Only this file ever sees it."""

    host: str
    port: int
    share: bool
    root_path: str
    users: tuple[tuple[str, str], ...]
    allowed_hosts: tuple[str, ...]
    cors_origins: tuple[str, ...]
    paths: Paths
    device: str
    dtype: str
    log_level: str
    on_space: bool


def config_of(options: argparse.Namespace) -> Config:
    """The configuration from parsed options and the environment. Exits with a sentence where they do not fit."""
    on_space = "SPACE_ID" in os.environ
    host = options.host or ("0.0.0.0" if options.listen or on_space else "127.0.0.1")
    is_open = options.share or not _is_loopback(host)
    users = tuple(_user(entry) for entry in options.auth)
    if is_open and not users and not options.no_auth and not on_space:
        sys.exit(
            "Others could use this server without a password. Add --auth NAME:PASSWORD, "
            "or say --no-auth if that is what you want."
        )
    return Config(
        host=host,
        port=options.port,
        share=options.share,
        root_path=options.root_path.rstrip("/"),
        users=users,
        allowed_hosts=_host_names(options, host),
        cors_origins=tuple(options.cors_origin),
        on_space=on_space,
        paths=paths_of(options),
        device=options.device,
        dtype=options.dtype,
        log_level=options.log_level,
    )


def paths_of(options: argparse.Namespace) -> Paths:
    """The folders to use; the repository's own models folder is always among them."""
    outputs: Path = (options.outputs_dir or ROOT / "outputs").resolve()
    models = (ROOT / "models", *(folder.resolve() for folder in options.models_dir))
    for folder in models:
        if not folder.is_dir():
            sys.exit(f"There is no folder {folder} (--models-dir). Make it, or mend the path.")
    return Paths(models, outputs, (options.data_dir or outputs / "data").resolve())


def _user(entry: str) -> tuple[str, str]:
    name, colon, password = entry.partition(":")
    if not (name and colon and password):
        sys.exit(f"--auth {name}…: write it as NAME:PASSWORD.")
    return name, password


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _host_names(options: argparse.Namespace, host: str) -> tuple[str, ...]:
    """Names that a browser may ask for. Plain IP addresses need no entry: DNS rebinding needs a name."""
    names = ["localhost", host, *options.allowed_host]
    if not _is_loopback(host):
        names += [socket.gethostname(), f"{socket.gethostname()}.local"]
    if options.share:
        names.append("*.gradio.live")
    if space := os.environ.get("SPACE_HOST"):
        names.append(space)
    return tuple(dict.fromkeys(names))


def set_environment(data_dir: Path) -> None:
    """Settings that libraries read while they are imported: no telemetry, no hub, files in our own folder."""
    uploads = data_dir / "uploads"
    try:
        uploads.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        sys.exit(f"{uploads} cannot be made: {error.strerror}. Choose another folder with --data-dir.")
    os.environ.setdefault("GRADIO_TEMP_DIR", str(uploads))
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")


def set_logging(level: str) -> None:
    """One line a record on stderr, with the job it is about; libraries speak only when something is wrong."""
    from service.job_log import JobIdFilter

    handler = logging.StreamHandler()
    handler.addFilter(JobIdFilter())
    layout = "%(asctime)s %(levelname)s %(name)s [%(job)s] %(message)s"
    logging.basicConfig(level=logging.WARNING, format=layout, handlers=[handler])
    for name in ("easel", "service", "engine", "api", "ui", "generation"):
        logging.getLogger(name).setLevel(level)


def compose(paths: Paths, device: str, dtype: str, *, keep_queue: bool = False) -> Services:
    """The services with one local worker. The worker imports torch in its own thread, not here.

    `keep_queue`: waiting jobs outlive the program. Only one program may do that for the same data folder.
    """
    from engine.heap import keep_heap
    from service.services import build_services

    if device in ("auto", "cpu"):
        keep_heap()  # before any thread exists; the module knows no torch

    def make_worker() -> Worker:
        from engine.local_worker import LocalWorker, WorkerSettings

        return LocalWorker("local", WorkerSettings(device=device, dtype=dtype))

    return build_services(
        worker_factories={"local": make_worker},
        models_dirs=paths.models,
        outputs_dir=paths.outputs,
        data_dir=paths.data,
        keep_queue=keep_queue,
    )


def make_app(services: Services, config: Config) -> FastAPI:
    """The whole web application: API routes, the security gate, and the page mounted last at "/"."""
    import ui.app
    from api.app import create_app
    from api.security import Security

    security = Security(
        users=dict(config.users),
        allowed_hosts=config.allowed_hosts,
        cors_origins=config.cors_origins,
        # Hugging Face shows a Space inside a page of its own.
        frame_ancestors=("https://huggingface.co", "https://*.hf.space") if config.on_space else (),
    )
    return ui.app.mount(create_app(services, security), services, root_path=config.root_path)


def serve(config: Config) -> None:
    """Runs the server until Ctrl+C."""
    if problem := _port_problem(config.host, config.port):
        sys.exit(problem)
    set_environment(config.paths.data)
    import uvicorn

    try:
        services = compose(config.paths, config.device, config.dtype, keep_queue=True)
    except UserError as error:
        sys.exit(str(error))
    try:
        app = make_app(services, config)
        shown = "127.0.0.1" if config.host == "0.0.0.0" else config.host
        _say(f"Easel is at http://{shown}:{config.port}{config.root_path}  (Ctrl+C ends it)")
        if config.share:
            _say(f"Public address: {_open_tunnel(config.port)}")
        # Event streams of open pages would otherwise hold the server back at its end.
        uvicorn.run(app, host=config.host, port=config.port, log_level="warning", timeout_graceful_shutdown=2)
    finally:
        services.close()


def _port_problem(host: str, port: int) -> str:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return f"Cannot listen on {host}:{port}: {error.strerror}. Choose another with --port."
    return ""


def _open_tunnel(port: int) -> str:
    """A public address of Gradio's relay. It fetches a helper program the first time, so it needs internet."""
    import secrets

    from gradio.networking import setup_tunnel

    try:
        return setup_tunnel("127.0.0.1", port, secrets.token_urlsafe(32), None, None)
    except Exception as error:  # the relay's client raises whatever its download or process raised
        return f"none, the relay could not be reached ({error})."


def generate(options: argparse.Namespace) -> None:
    """One picture from the command line, through the same services as the page."""
    paths = paths_of(options)
    set_logging("WARNING" if options.log_level == "INFO" else options.log_level)
    set_environment(paths.data)
    from api import generate_command

    services = compose(paths, options.device, options.dtype)
    try:
        generate_command.generate(services, options)
    except (UserError, OSError) as error:
        sys.exit(str(error))
    finally:
        services.close()


def _say(sentence: str) -> None:
    sys.stdout.write(sentence + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> None:
    """Serves, or makes one picture if the first argument is `generate`."""
    if arguments[:1] == ["generate"]:
        generate(command_line.generate_parser().parse_args(arguments[1:]))
        return
    config = config_of(command_line.server_parser().parse_args(arguments))
    set_logging(config.log_level)
    serve(config)


if __name__ == "__main__":
    main(sys.argv[1:])
