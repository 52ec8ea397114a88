"""Runs the notebooks anew and writes their pages for the site.

    python docs/notebooks/execute.py            # all of them: cells, outputs, NAME.ipynb and NAME.md with its pictures
    python docs/notebooks/execute.py own_estimator    # one

A notebook's cells are run in order in a fresh process, which has what raylab has: no Jupyter. An output is what was printed, the cell's last
expression (a table as text and as Markdown), and its figures. Times and messages of the machine are not shown.
"""

import ast
import base64
import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib import pyplot as plt

HERE = Path(__file__).resolve().parent
Cell = dict[str, Any]


def lines_of(text: str) -> list[str]:
    """A text as a notebook stores it: lines with their ends."""
    return text.splitlines(keepends=True)


def as_markdown(table: pd.DataFrame) -> str:
    """A table with pipes; its index if that has a name."""
    table = table.reset_index() if table.index.name or table.index.nlevels > 1 else table
    rows = [list(map(str, table.columns)), ["---"] * table.shape[1]]
    rows += [["" if pd.isna(value) else f"{value}" for value in row] for row in table.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def shown(value: Any) -> dict[str, Any]:
    """The data of an output, by type."""
    data: dict[str, Any] = {"text/plain": lines_of(repr(value))}
    if isinstance(value, pd.Series):
        value = value.to_frame()
    if isinstance(value, pd.DataFrame):
        data = {"text/markdown": lines_of(as_markdown(value)), "text/plain": lines_of(value.to_string())}
    return data


def figures() -> list[dict[str, Any]]:
    """Outputs of the open figures, which are closed."""
    outputs = []
    for number in plt.get_fignums():
        buffer = io.BytesIO()
        plt.figure(number).savefig(buffer, format="png", dpi=90, metadata={"Software": None})
        png = base64.b64encode(buffer.getvalue()).decode()
        outputs.append({"output_type": "display_data", "data": {"image/png": png, "text/plain": ["<Figure>"]}, "metadata": {}})
    plt.close("all")
    return outputs


def run_cell(source: str, number: int, names: dict[str, Any]) -> list[dict[str, Any]]:
    """Run one cell in a namespace; its outputs."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, f"cell {number}", "exec"), names)
        value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names) if last else None
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": lines_of(printed.getvalue())})
    outputs += figures()
    if value is not None:
        outputs.append({"output_type": "execute_result", "execution_count": number, "data": shown(value), "metadata": {}})
    return outputs


def run(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook with the outputs of its cells, run in order. Whatever a cell raises ends it."""
    mpl.use("Agg")
    names: dict[str, Any] = {"__name__": "__main__"}
    cells, number = [], 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            number += 1
            cell = {**cell, "execution_count": number, "outputs": run_cell("".join(cell["source"]), number, names)}  # noqa: PLW2901
        cells.append(cell)
    return {**notebook, "cells": cells}


def page_of(notebook: dict[str, Any], name: str) -> tuple[str, dict[str, bytes]]:
    """The notebook as a page, and its pictures by file name."""
    parts, pictures = [], dict[str, bytes]()
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                picture = f"{name}_{len(pictures) + 1}.png"
                pictures[picture] = base64.b64decode(data["image/png"])
                parts.append(f"![{cell['metadata'].get('alt', 'figure')}]({picture})")
            elif "text/markdown" in data:
                parts.append("".join(data["text/markdown"]))
            else:
                parts.append("```text\n" + "".join(output.get("text") or data["text/plain"]).rstrip("\n") + "\n```")
    parts.append(f"This page is [{name}.ipynb]({name}.ipynb), written by `docs/notebooks/execute.py`.")
    return "\n\n".join(parts) + "\n", pictures


def write(name: str) -> None:
    """Run one notebook, and write it and its page."""
    path = HERE / f"{name}.ipynb"
    notebook = run(json.loads(path.read_text(encoding="utf-8")))
    page, pictures = page_of(notebook, name)
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(page, encoding="utf-8")
    for old in HERE.glob(f"{name}_*.png"):
        old.unlink()
    for file, content in pictures.items():
        (HERE / file).write_bytes(content)


def main(arguments: list[str]) -> int:
    """Run the named notebooks, each in a process of its own if there are several; 1 if one fails."""
    if len(arguments) == 1:
        write(arguments[0])
        return 0
    every = arguments or sorted(path.stem for path in HERE.glob("*.ipynb"))
    return max(subprocess.run([sys.executable, __file__, name], check=False).returncode for name in every)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
