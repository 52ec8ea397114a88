"""The study file of a command line: the user's own, or one that the package brings."""

from pathlib import Path

from raylab.cli.console import say_aside
from raylab.errors import RaylabError
from raylab.trials.study import Study, read_study

STUDIES = Path(__file__).resolve().parents[1] / "studies"
FOLDER = "studies"  # studies/NAME.yaml, as every page writes it


def read_named_study(path: Path) -> Study:
    """The study of a file, or the package's own where ``studies/NAME.yaml`` is asked for and no such file is here.

    So the commands of the pages hold in any folder, and not in a checkout only. A file of the user's comes first, and the other is named on
    standard error.

    Raises:
        RaylabError: if there is neither, with the names of those that the package brings.
        StudyError: if the file is no study.
    """
    if path.exists():
        return read_study(path)
    own = {file.name: file for file in sorted(STUDIES.glob("*.yaml"))}
    if path.parent == Path(FOLDER) and path.name in own:
        say_aside(f"{path}: not in this folder, so the package's own is used, {own[path.name]} (copy it to change it)")
        return read_study(own[path.name])
    names = ", ".join(name.removesuffix(".yaml") for name in own)
    raise RaylabError(
        f"{path}: No such file. What to do: give a study file (raylab init writes one), or one of the package as "
        f"{FOLDER}/NAME.yaml; NAME is one of {names}"
    )
