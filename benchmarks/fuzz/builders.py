"""The builders of the tests: they write small datasets in the published layouts. A checkout of the project has them."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[2] / "tests"


def builder(name: str) -> Any:
    """A module of ``tests/builders``."""
    if str(TESTS) not in sys.path:
        sys.path.append(str(TESTS))
    return import_module(f"builders.{name}")
