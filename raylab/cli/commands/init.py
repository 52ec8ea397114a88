"""`raylab init`."""

from pathlib import Path
from typing import Annotated

import typer

from raylab.cli.console import say
from raylab.errors import RaylabError

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
FILES = {"study.yaml": "study.yaml", "dataset.yaml": "data/dataset.yaml"}  # template to its place
NEXT = """\
next, when the recordings are in {folder}/data:
  raylab prepare csv_folder --root {folder}/data --check
  raylab prepare csv_folder --root {folder}/data --out {folder}/windows/my_data
  raylab run {folder}/study.yaml --windows {folder}/windows --plan
  raylab run {folder}/study.yaml --windows {folder}/windows --out {folder}/run
  raylab report {folder}/run"""


def init(folder: Annotated[Path, typer.Argument(help="a folder that is not there yet, or is empty")]) -> None:
    """Write a folder to fill in for a study of your own data: study.yaml and dataset.yaml, with comments.

    Example: raylab init my_study
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RaylabError(f"{folder} is there already and not an empty folder. What to do: give another name")
    for template, place in FILES.items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((TEMPLATES / template).read_text(encoding="utf-8"), encoding="utf-8")
        say(f"{path}")
    for line in NEXT.format(folder=folder).splitlines():
        say(line)
