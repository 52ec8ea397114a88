"""The notebooks: whole, executed in order, free of errors and of what changes from run to run; their pages are theirs; and (slow) they run anew."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
TOOL = FOLDER / "execute.py"
CHANGING = re.compile(r"/(?:tmp|home|root|work|Users)/|\d\d:\d\d:\d\d|20\d\d-\d\d-\d\d|0x[0-9a-f]{6,}")


def _notebook(name: str) -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    return notebook


def _code(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_notebooks_are_there() -> None:
    """Of an estimator of one's own, and of the results of a run."""
    assert ["own_estimator", "results"] == NOTEBOOKS


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_whole_and_was_executed_in_order(name: str) -> None:
    """Format 4.5; cells with ids of their own; code numbered from 1; outputs without errors, with tables and one figure; simulated is said first."""
    notebook = _notebook(name)
    assert (4, 5) == (notebook["nbformat"], notebook["nbformat_minor"])
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids) > 5
    code = _code(notebook)
    assert list(range(1, len(code) + 1)) == [cell["execution_count"] for cell in code]
    outputs = [output for cell in code for output in cell["outputs"]]
    assert {"stream", "display_data", "execute_result"} == {output["output_type"] for output in outputs}
    data = [output["data"] for output in outputs if "data" in output]
    assert 1 == sum("image/png" in entry for entry in data) and sum("text/markdown" in entry for entry in data) > 1
    assert "**Simulated signals**" in "".join(notebook["cells"][0]["source"])
    for cell in code:
        compile("".join(cell["source"]), name, "exec")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_nothing_in_the_outputs_changes_from_run_to_run(name: str) -> None:
    """No absolute path, time, date or address in memory; and the files are small."""
    texts = [
        "".join(output.get("text", []))
        + "".join("".join(lines) for kind, lines in output.get("data", {}).items() if "text" in kind)
        for cell in _code(_notebook(name))
        for output in cell["outputs"]
    ]
    assert [] == [text for text in texts if CHANGING.search(text)]
    files = [path for path in FOLDER.iterdir() if path.name.startswith(name)]
    assert len(files) == 3 and all(path.stat().st_size < 200_000 for path in files)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_s_page_is_written_from_it(name: str) -> None:
    """The site shows what the notebook holds: text, code, outputs, the figure."""
    page, pictures = runpy.run_path(str(TOOL))["page_of"](_notebook(name), name)
    assert (FOLDER / f"{name}.md").read_text(encoding="utf-8") == page
    assert {path.name: path.read_bytes() for path in FOLDER.glob(f"{name}_*.png")} == pictures


def test_a_cell_s_outputs_are_those_of_a_notebook() -> None:
    """What is printed, the last expression, a table as Markdown; an assignment gives none; an error is raised."""
    run = runpy.run_path(str(TOOL))["run"]
    sources = [
        "a = 1",
        "print('x')\na + 1",
        "import pandas as pd\npd.DataFrame({'k': ['u', None]}).set_index(pd.Index([1, 2], name='n'))",
    ]
    cells = [{"cell_type": "code", "source": [source], "metadata": {}} for source in sources]
    done = run({"cells": cells})["cells"]
    assert [1, 2, 3] == [cell["execution_count"] for cell in done]
    assert [0, 2, 1] == [len(cell["outputs"]) for cell in done]
    assert (["x\n"], ["2"]) == (done[1]["outputs"][0]["text"], done[1]["outputs"][1]["data"]["text/plain"])
    assert "| n | k |\n| --- | --- |\n| 1 | u |\n| 2 |  |" == "".join(done[2]["outputs"][0]["data"]["text/markdown"])
    with pytest.raises(ZeroDivisionError):
        run({"cells": [{"cell_type": "code", "source": ["1 / 0"], "metadata": {}}]})


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_anew(name: str, tmp_path: Path) -> None:
    """In a fresh process, from its code alone: every cell ends, with outputs of the same kinds and tables of the same size."""
    (tmp_path / "execute.py").write_bytes(TOOL.read_bytes())
    notebook = _notebook(name)
    bare = {
        **notebook,
        "cells": [{**cell, "outputs": []} if cell["cell_type"] == "code" else cell for cell in notebook["cells"]],
    }
    (tmp_path / f"{name}.ipynb").write_text(json.dumps(bare), encoding="utf-8")
    done = subprocess.run([sys.executable, tmp_path / "execute.py", name], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr[-2000:]
    again = json.loads((tmp_path / f"{name}.ipynb").read_text(encoding="utf-8"))

    def shape(cell: dict[str, Any]) -> list[tuple[str, int]]:
        return [
            (output["output_type"], len(output.get("text", output.get("data", {}).get("text/markdown", []))))
            for output in cell["outputs"]
        ]

    assert [shape(cell) for cell in _code(notebook)] == [shape(cell) for cell in _code(again)]
