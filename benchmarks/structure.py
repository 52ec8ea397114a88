"""``python -m benchmarks.structure [ROOT]``: the size of files and functions, and how the modules import each other, as a Markdown table."""

import ast
import sys
from collections import Counter
from collections.abc import Set
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import numpy as np

PACKAGES = ("raylab", "analysis", "jobs", "benchmarks")


def modules_of(root: Path) -> dict[str, Path]:
    """Dotted name to file of every module of the project's packages below ``root``."""
    files = sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))
    return {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def imported(tree: ast.Module, modules: Set[str]) -> set[str]:
    """The modules among ``modules`` that a file imports; ``from package import module`` is the module, not the package."""
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {
                f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in modules else node.module
                for alias in node.names
            }
    return names & modules


def _sizes(name: str, sizes: list[int]) -> str:
    return f"| {name} | {len(sizes):,} | {np.median(sizes):.0f} | {np.percentile(sizes, 90):.0f} | {max(sizes)} |"


def _has_cycle(graph: dict[str, set[str]]) -> bool:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError:
        return True
    return False


def _folder(module: str) -> str:
    """The package of a module: ``raylab.runs``; a module directly in a top package is a folder of its own."""
    return ".".join(module.split(".")[:2])


def lines(root: Path) -> list[str]:
    """The table of a checkout."""
    modules = modules_of(root)
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in modules.items()}
    graph = {name: imported(tree, modules.keys()) - {name} for name, tree in trees.items()}
    functions = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    classes = Counter(node.name for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    folders: dict[str, set[str]] = {_folder(name): set() for name in modules}
    for name, others in graph.items():
        folders[_folder(name)] |= {_folder(other) for other in others} - {_folder(name)}
    arrows = {
        top: sum(len(others) for folder, others in folders.items() if folder.startswith(top)) for top in ("raylab", "analysis")
    }
    return [
        "| | number | median lines | p90 | longest |",
        "|---|---|---|---|---|",
        _sizes("files", [path.read_text(encoding="utf-8").count("\n") for path in modules.values()]),
        _sizes("functions", [(node.end_lineno or node.lineno) - node.lineno + 1 for node in functions]),
        "",
        f"- circles among modules: {'yes' if _has_cycle(graph) else 'none'}; among folders: {'yes' if _has_cycle(folders) else 'none'}",
        f"- imports among modules: {sum(map(len, graph.values()))}; among the folders of raylab {arrows['raylab']}, of analysis {arrows['analysis']}",
        f"- classes of one name: {', '.join(sorted(name for name, count in classes.items() if count > 1)) or 'none'}",
    ]


def main() -> None:
    """Print the table of the checkout named, or of this one."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1]
    sys.stdout.write("\n".join(lines(root)) + "\n")


if __name__ == "__main__":
    main()
