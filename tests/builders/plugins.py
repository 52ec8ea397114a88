"""Plugin files for tests, and the tables as they were before them."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import raylab.models.registry as models
from analysis.scores import metrics
from raylab import plugins
from raylab.recordings import DATASETS
from raylab.techniques.registry import TECHNIQUES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extend.md"
TABLES = (TECHNIQUES, DATASETS, models.ENCODERS, models.FUSIONS, models.CLASSICAL_MODELS, models.VERSIONS, metrics.METRICS)
LISTS = (metrics.LESS_IS_BETTER, metrics.PRIMARY_METRICS)


@contextmanager
def tables_restored() -> Iterator[None]:
    """Whatever plugins enter inside the block is gone after it, as in a new process."""
    tables = (*TABLES, plugins._ENTERED, models._CLASSES)
    before, lists = [dict(table) for table in tables], [list(names) for names in LISTS]
    try:
        yield
    finally:
        for table, content in zip(tables, before, strict=True):
            table.clear()  # type: ignore[attr-defined]
            table.update(content)  # type: ignore[attr-defined]
        for names, former in zip(LISTS, lists, strict=True):
            names[:] = former
        for name in [name for name in sys.modules if name.startswith("raylab_plugin_")]:
            del sys.modules[name]


def example(folder: Path, comment: str = "") -> Path:
    """The example of docs/extend.md as a file.

    Args:
        comment: added at the end, so that the file has another digest.
    """
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    path = folder / "mine.py"
    path.write_text(code[0] + comment, encoding="utf-8")
    return path


def csv_people(folder: Path, people: int = 4) -> Path:
    """Files of the example's dataset: 3 minutes of EDA at 4 Hz, higher during the task."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(people):
        task = np.repeat([0, 1, 0, 1], 180)
        eda = rng.normal(2, 0.3, len(task)) + task
        lines = [f"{value:.4f},{code}" for value, code in zip(eda, task, strict=True)]
        (folder / f"A{number}.csv").write_text("eda,task\n" + "\n".join(lines), encoding="utf-8")
    return folder
