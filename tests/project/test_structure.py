"""The tree reads as the method, imports go one way, and the README tells the truth."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ORDER = [
    "errors",
    "hashing",
    "files",
    "record_store",
    "features",
    "recordings",
    "windows",
    "folds",
    "models",
    "techniques",
    "training",
    "trials",
    "runs",
    "live",
    "validity",
    "cli",
]
SOURCES = sorted([*(ROOT / "raylab").rglob("*.py"), *(ROOT / "analysis").rglob("*.py"), *(ROOT / "jobs").rglob("*.py")])


def _imports(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    return found + [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    """A package imports only what stands before it; ray is imported in runs only; analysis imports neither raylab, ray nor torch."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    tops = {name.split(".")[0] for name in _imports(path)}
    if parts[0] == "analysis":
        assert not tops & {"raylab", "ray", "torch", "jobs"}
        return
    if parts[0] == "jobs" or parts[1] == "__init__":
        return
    assert "ray" not in tops or parts[1] in ("runs", "validity")
    mine = ORDER.index(parts[1])
    for name in _imports(path):
        if name.startswith("raylab."):
            assert ORDER.index(name.split(".")[1]) <= mine, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_readable(path: Path) -> None:
    """No file over 400 lines, no function over 60, no import of our own modules inside a function."""
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name
            inner = [
                n
                for n in ast.walk(node)
                if isinstance(n, ast.ImportFrom) and (n.module or "").startswith(("raylab", "analysis"))
            ]
            assert not inner, node.name


def test_readme_names_what_exists() -> None:
    """Every path and every make target in the README exists."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    make = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make (\w+)`|^make (\w+)", readme, re.MULTILINE):
        assert re.search(rf"^{next(filter(None, target))}:", make, re.MULTILINE), target
    for link in re.findall(r"\]\(([^)#:]+)\)", readme):
        assert (ROOT / link).exists(), link
    for path in re.findall(r"`((?:raylab|analysis|jobs|studies|docs|tests)/[\w./-]*)`", readme):
        assert (ROOT / path).exists(), path
