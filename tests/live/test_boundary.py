"""The boundary of live/: its parts import in one direction, and from the rest of raylab only what is listed here."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIVE = ROOT / "raylab/live"
PARTS = sorted(path.stem for path in LIVE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists())
ALLOWED: dict[str, tuple[str, ...]] = {
    "__init__": (),
    "core": (
        "raylab.errors",
        "raylab.features",
        "raylab.hashing",
        "raylab.models",
        "raylab.recordings",
        "raylab.windows.card",
        "raylab.windows.card_problems",
        "raylab.windows.detrending",
        "raylab.windows.normalization",
        "raylab.windows.preprocess",
        "raylab.windows.utterances",
    ),
    "sources": (
        "raylab.errors",
        "raylab.features.optional_packages",
        "raylab.features.sound",
        "raylab.features.wav_header",
        "raylab.live.core.bounded_queue",
        "raylab.live.core.messages",
        "raylab.live.core.model_card",
        "raylab.recordings",
        "raylab.names",
    ),
    "dashboard": ("raylab.errors", "raylab.features.optional_packages", "raylab.live.core"),
    "cli": ("raylab.errors", "raylab.live.calibrate", "raylab.live.core", "raylab.live.dashboard", "raylab.live.sources"),
    # the two doors to the studies
    "calibrate": (
        "raylab.errors",
        "raylab.folds",
        "raylab.live.core",
        "raylab.models",
        "raylab.techniques.stage",
        "raylab.training",
        "raylab.trials.run_trial",
    ),
    "export": (
        "analysis",
        "raylab.__version__",
        "raylab.errors",
        "raylab.files.Folder",
        "raylab.live.core",
        "raylab.models",
        "raylab.recordings",
        "raylab.runs",
        "raylab.techniques",
        "raylab.training",
        "raylab.trials",
        "raylab.windows.cross_corpus.Kept",
        "raylab.windows.cross_corpus.open_windows",
        "raylab.windows.dataset",
        "raylab.yaml_file",
    ),
    "train_general": (
        "analysis",
        "raylab.errors",
        "raylab.live.core",
        "raylab.live.export",
        "raylab.models",
        "raylab.runs",
        "raylab.techniques",
        "raylab.training",
        "raylab.trials",
        "raylab.windows.cross_corpus.open_windows",
        "raylab.windows.dataset",
        "raylab.yaml_file",
    ),
}
OURS = ("raylab", "analysis", "benchmarks", "jobs")


def _imports(path: Path) -> set[str]:
    """Full names of everything of ours that a file imports, at any place in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in OURS}


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def _imports_of(part: str) -> set[str]:
    """Imports of a part of live/, except those of its own modules."""
    files = sorted((LIVE / part).rglob("*.py")) if (LIVE / part).is_dir() else [LIVE / f"{part}.py"]
    names = {name for path in files for name in _imports(path)}
    return {name for name in names if not _within(name, f"raylab.live.{part}")}


def test_every_part_of_live_is_listed() -> None:
    """A new module of live/ needs a list of its own."""
    assert sorted(ALLOWED) == PARTS


@pytest.mark.parametrize("part", PARTS)
def test_a_part_imports_what_is_listed_and_no_more(part: str) -> None:
    """So that streams do not depend on studies. An entry that nothing needs fails as well, so that the list stays short."""
    imports = _imports_of(part)
    assert [] == sorted(name for name in imports if not any(_within(name, package) for package in ALLOWED[part]))
    assert [] == sorted(package for package in ALLOWED[part] if not any(_within(name, package) for name in imports))


def test_nothing_else_imports_live() -> None:
    """Studies do not depend on streams; only the command line knows both."""
    others = [path for folder in ("raylab", "analysis", "jobs") for path in sorted((ROOT / folder).rglob("*.py"))]
    allowed = (LIVE, ROOT / "raylab/cli", ROOT / "raylab/cli.py")
    importing = [path for path in others if any(_within(name, "raylab.live") for name in _imports(path))]
    assert [] == [str(path) for path in importing if not any(path.is_relative_to(place) for place in allowed)]


def test_imports_of_every_form_are_seen(tmp_path: Path) -> None:
    """Of a module, of a name, of a package's module, and inside a function."""
    code = (
        "import raylab.trials.plan as p, json\ndef f():\n    from raylab import runs\n    from raylab.folds.fold import Fold\n"
    )
    (tmp_path / "a.py").write_text(code)
    assert {"raylab.trials.plan", "raylab.runs", "raylab.folds.fold.Fold"} == _imports(tmp_path / "a.py")
