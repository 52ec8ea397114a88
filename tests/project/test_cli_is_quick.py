"""The first things that a user types are answered without the libraries that a training needs."""

import subprocess
import sys

import pytest

HEAVY = [
    "torch",
    "ray",
    "neurokit2",
    "scipy",
    "sklearn",
    "pandas",
    "librosa",
    "matplotlib",
    "plotly",
    "openpyxl",
    "safetensors",
    "analysis",
]


def _loaded(code: str) -> set[str]:
    """The heavy packages that a new Python has after the code."""
    script = f"import sys\n{code}\nprint('loaded:', *(name for name in {HEAVY} if name in sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return set(result.stdout.splitlines()[-1].removeprefix("loaded:").split())


@pytest.mark.parametrize("command", ["--help", "-h", "--version", "datasets", "techniques", "models"])
def test_a_quick_command_loads_no_heavy_package(command: str) -> None:
    """Neither networks nor Ray nor tables: each takes seconds to import."""
    code = f"from raylab.cli import main\nsys.argv = ['raylab', {command!r}]\ntry:\n    main()\nexcept SystemExit as end:\n    assert not end.code"
    assert set() == _loaded(code)


@pytest.mark.parametrize(
    "package", ["raylab.recordings", "raylab.techniques.registry", "raylab.models.registry", "raylab.errors"]
)
def test_a_list_loads_no_heavy_package(package: str) -> None:
    """A reader imports what it needs when it reads."""
    assert set() == _loaded(f"import {package}")


def test_a_worker_that_prepares_loads_neither_networks_nor_statistics() -> None:
    """Ray starts a process per core for it, each of which would spend ten seconds on imports."""
    assert {"ray"} == _loaded("import raylab.runs.prepare")


def test_the_check_sees_a_heavy_package() -> None:
    """It could fail."""
    assert {"scipy"} <= _loaded("import scipy.signal")


@pytest.mark.parametrize(
    ("words", "expected"), [("raylab re", "report"), ("raylab run --addr", "--address"), ("raylab prepare wes", "wesad")]
)
def test_commands_options_and_names_are_completed(words: str, expected: str) -> None:
    """A shell asks for completions through the environment, and a command's own options are among them."""
    environment = {"PYTHONPATH": ":".join(sys.path), "_RAYLAB_COMPLETE": "complete_bash", "COMP_WORDS": words}
    environment["COMP_CWORD"] = str(len(words.split()) - 1)
    code = "from raylab.cli import main\nmain()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert expected in result.stdout.split()
