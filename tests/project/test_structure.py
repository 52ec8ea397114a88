"""The tree reads as the method, imports go one way, and the README tells the truth."""

import ast
import re
from collections.abc import Set
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A package imports only what stands before it. analysis stands on its own ground: it reads files, and knows nothing of raylab.
ORDER = {
    "raylab": [
        "errors", "hashing", "names", "yaml_file", "strict_part", "files", "record_store", "features", "recordings", "windows", "folds",
        "models", "techniques", "plugins", "training", "sklearn", "torch", "frame", "exchange", "trials", "testing", "runs", "live",
        "validity", "cli",
    ],
    "analysis": ["errors", "constants", "arrays", "plain_text", "formatting", "scores", "statistics", "figures", "report", "validation"],
}  # fmt: skip
USES_ANALYSIS = ("trials", "runs", "live", "validity", "cli")
USES_RAY = ("runs", "validity")
SOURCES = sorted(path for top in ("raylab", "analysis", "jobs", "benchmarks") for path in (ROOT / top).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def _imports(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    return names + [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]


def _modules_imported(path: Path, modules: Set[str]) -> set[str]:
    """The modules among ``modules`` that a file imports; ``from package import module`` is the module, not the package."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {
                f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in modules else node.module
                for alias in node.names
            }
    return names & modules


def _rank(top: str, module: str) -> int:
    """Place in the order of the package that a dotted name lies in; a package itself comes after all its parts."""
    parts = module.split(".")
    return ORDER[top].index(parts[1]) if len(parts) > 1 else len(ORDER[top])


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    """A package imports only what stands before it, in raylab and in analysis; ray is imported in few places, raylab's entry points nowhere."""
    top, *rest = path.relative_to(ROOT).with_suffix("").parts
    imported = _imports(path)
    tops = {name.split(".")[0] for name in imported}
    assert not tops & {"jobs", "benchmarks", "tests"} - {top}
    if top not in ORDER or rest == ["__init__"]:
        return
    if top == "analysis":
        assert not tops & {"raylab", "ray", "torch"}
    else:
        assert "ray" not in tops or rest[0] in USES_RAY
        assert "analysis" not in tops or rest[0] in USES_ANALYSIS
    for name in imported:
        if name.startswith(f"{top}."):
            assert _rank(top, name) <= ORDER[top].index(rest[0]), f"{path.name} imports {name}"


def test_no_two_modules_import_each_other() -> None:
    """The modules can be sorted so that each imports only earlier ones."""
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in SOURCES}
    graph = {name: _modules_imported(path, modules.keys()) - {name} for name, path in modules.items()}
    assert set(graph) == set(TopologicalSorter(graph).static_order())


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


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_test_files_stay_readable_and_apart(path: Path) -> None:
    """No file of the tests over 400 lines, and none imports a test file: what several share is a builder or a fixture."""
    assert path.read_text(encoding="utf-8").count("\n") <= 400
    assert not [name for name in _imports(path) if name.split(".")[-1].startswith("test_") or name.split(".")[0] == "tests"]


def test_folders_of_the_tests_are_the_packages() -> None:
    """Each folder of tests/ is named after `analysis` or a package of raylab or benchmarks; `project` is the rest, `builders` what tests share."""
    packages = {path.parent.name for top in ("raylab", "benchmarks") for path in (ROOT / top).glob("*/__init__.py")} | {
        "analysis"
    }
    folders = {path.parent.relative_to(ROOT / "tests").parts[0] for path in TESTS if path.parent != ROOT / "tests"}
    assert folders <= packages | {"project", "builders"}
