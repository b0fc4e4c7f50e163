"""The options of `launch.sh`. Needs nothing installed, so that `--help` answers before anything is set up."""

from __future__ import annotations

import argparse
from pathlib import Path


def server_parser() -> argparse.ArgumentParser:
    """The command line of the server."""
    parser = argparse.ArgumentParser(
        prog="launch.sh",
        description="Easel, a Stable Diffusion web UI.",
        epilog="./launch.sh generate --help tells how to make a picture without a browser.",
    )
    _add_network(parser.add_argument_group("network"))
    _add_common(parser)
    return parser


def generate_parser() -> argparse.ArgumentParser:
    """The command line of `launch.sh generate`. Options left out take the model's own defaults."""
    parser = argparse.ArgumentParser(prog="launch.sh generate", description="Make one picture without a browser.")
    add = parser.add_argument
    add("prompt", help="what to paint")
    add("-o", "--output", type=Path, default=Path("picture.png"), help="file to write (default: picture.png)")
    add("--negative-prompt", default="", help="what to avoid")
    add("--seed", type=int, default=-1, help="the same seed gives the same picture; -1 draws one")
    add("--steps", type=int, help="denoising steps")
    add("--cfg-scale", type=float, help="how strongly the prompt is followed")
    add("--width", type=int, help="pixels, a multiple of 8")
    add("--height", type=int, help="pixels, a multiple of 8")
    add("--sampler", help="like 'DPM++ 2M'")
    add("--schedule", help="like Karras")
    add("--model", default="", help="name, title or hash of a checkpoint")
    add("--init-image", type=Path, help="start from this picture (img2img)")
    add("--denoising-strength", type=float, default=0.75, help="img2img: 0 keeps, 1 replaces (default: 0.75)")
    _add_common(parser)
    return parser


def _add_network(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--host", help="address to listen on (default: 127.0.0.1)")
    add("--port", type=int, default=7860, help="port to listen on (default: 7860)")
    add("--listen", action="store_true", help="listen on all addresses, for other devices")
    add("--share", action="store_true", help="also open a public gradio.live address")
    add("--auth", action="append", default=[], metavar="NAME:PASSWORD", help="who may log in; repeatable")
    add("--no-auth", action="store_true", help="allow --listen and --share without a password")
    add(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further host name that browsers may use; repeatable",
    )
    add(
        "--cors-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="a web page that may call the API, like https://example.org; repeatable",
    )
    add("--root-path", default="", help="path below which a reverse proxy serves Easel, like /easel")


def _add_common(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("files").add_argument
    add(
        "--models-dir",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="a further folder with models, as of A1111 or ComfyUI; repeatable",
    )
    add("--outputs-dir", type=Path, metavar="DIR", help="where pictures go (default: outputs)")
    add(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="where settings and history go (default: data/ in the outputs folder)",
    )
    add = parser.add_argument_group("running").add_argument
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: auto)")
    add(
        "--dtype",
        default="auto",
        choices=["auto", "fp32", "bf16", "fp16"],
        help="precision of the weights (default: auto)",
    )
    add(
        "--log-level",
        default="INFO",
        type=str.upper,
        choices=["DEBUG", "INFO", "WARNING", "ERROR"],
        help="what is logged (default: INFO)",
    )
