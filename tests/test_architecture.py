"""The architecture, as a test: who may import whom, and how big a thing may grow."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Layer -> our own packages it may import.
MAY_IMPORT = {
    "generation": set(),
    "engine": {"generation"},
    "service": {"generation"},
    "api": {"service", "generation"},
    "ui": {"service", "generation"},
}
# Foreign library -> the only places that may know it.
HOME = {
    "torch": ("engine",),
    "diffusers": ("engine/backends",),
    "transformers": ("engine/backends",),
    "gradio": ("ui",),
    "fastapi": ("api", "ui/app.py"),
    "starlette": ("api", "ui"),
    "uvicorn": (),
    "sqlite3": ("service",),
}
LONGEST_FILE = 400
LONGEST_FUNCTION = 60

FILES = sorted(file for layer in MAY_IMPORT for file in (ROOT / layer).rglob("*.py"))


def imported_packages(tree: ast.AST) -> set[str]:
    """Top-level names of every module imported anywhere in the file, at its head or inside functions."""
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {
        node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
    }
    return {module.split(".")[0] for module in modules}


def relative(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("file", FILES, ids=relative)
def test_layers_import_only_what_they_may(file: Path) -> None:
    layer = file.relative_to(ROOT).parts[0]
    ours = imported_packages(ast.parse(file.read_text())) & set(MAY_IMPORT)
    assert ours <= MAY_IMPORT[layer] | {layer}


@pytest.mark.parametrize("file", FILES, ids=relative)
def test_each_library_is_imported_only_at_home(file: Path) -> None:
    for library in imported_packages(ast.parse(file.read_text())) & set(HOME):
        homes = HOME[library]
        assert any(relative(file) == home or relative(file).startswith(home + "/") for home in homes), (
            f"{library} has its home in {homes}"
        )


@pytest.mark.parametrize("file", FILES, ids=relative)
def test_files_and_functions_stay_readable(file: Path) -> None:
    source = file.read_text()
    assert len(source.splitlines()) <= LONGEST_FILE, "split it by responsibility"
    for node in ast.walk(ast.parse(source)):
        assert not isinstance(node, ast.Global), f"line {node.lineno}: rebinding of module state"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < LONGEST_FUNCTION, f"{node.name} is too long"


@pytest.mark.parametrize("file", FILES, ids=relative)
def test_nothing_happens_on_import(file: Path) -> None:
    """Module level holds definitions and constants: no loops, no conditions but TYPE_CHECKING, no bare calls."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.If):
            assert isinstance(node.test, ast.Name), f"line {node.lineno}: a condition at import"
            assert node.test.id == "TYPE_CHECKING", f"line {node.lineno}: a condition at import"
        assert not isinstance(node, ast.For | ast.While | ast.With), f"line {node.lineno}: work at import"
        if isinstance(node, ast.Expr):
            assert isinstance(node.value, ast.Constant), f"line {node.lineno}: a call at import"


def test_every_layer_has_files() -> None:
    for layer in MAY_IMPORT:
        assert any(file.relative_to(ROOT).parts[0] == layer for file in FILES), f"{layer}/ is empty"


def test_the_top_level_is_what_the_readme_says() -> None:
    tracked = {"webui.py", "ui", "models", "extensions", "tests", "requirements.txt", "launch.sh", "README.md"}
    assert {name for name in tracked if not (ROOT / name).exists()} == set()
