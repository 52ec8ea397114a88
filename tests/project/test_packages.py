"""The pins of the packages, and their hashes; what raylab's own package holds, and what it is called."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from raylab import DISTRIBUTION
from raylab.cli.commands.demo import STUDY
from raylab.cli.commands.docs import docs
from raylab.cli.commands.init import init
from raylab.cli.named_study import read_named_study
from raylab.errors import RaylabError
from raylab.features.optional_packages import INSTALL
from raylab.recordings import csv_folder
from raylab.trials.study import read_study

ROOT = Path(__file__).resolve().parents[2]


def test_every_pin_has_its_hashes() -> None:
    """hashes.txt has the pins of constraints.txt in their order, each with a hash or more; `make hashes` writes it."""
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    lines = (ROOT / "hashes.txt").read_text(encoding="utf-8").splitlines()
    assert pins == [line.split()[0] for line in lines]
    assert [] == [line for line in lines if not re.fullmatch(r"\S+==\S+( --hash=sha256:[0-9a-f]{64})+", line)]


def test_the_tool_of_the_sbom_is_pinned_with_hashes() -> None:
    """Every package of deploy/sbom.txt has a version and a hash."""
    text = (ROOT / "deploy" / "sbom.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    entries = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert [] == [line for line in entries if "==" not in line or "--hash=sha256:" not in line]
    assert any(line.startswith("cyclonedx-bom==") for line in entries)


def test_the_distribution_has_one_name() -> None:
    """pyproject.toml, the constant, and every hint at a missing part: the index has another project under the import's name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert DISTRIBUTION == project["name"]
    assert all(f"'{DISTRIBUTION}[" in command for command in INSTALL.values())
    extras = {name for command in INSTALL.values() for name in re.findall(r"\[([\w-]+)\]", command)}
    assert extras <= set(project["optional-dependencies"])
    own = [need for needs in project["optional-dependencies"].values() for need in needs if need.startswith("raylab")]
    assert own and all(need.startswith(f"{DISTRIBUTION}[") for need in own)


def test_the_page_of_the_package_has_no_link_into_a_checkout() -> None:
    """An index shows it alone."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / project["readme"]).read_text(encoding="utf-8")
    assert [] == [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("https://")]


def test_studies_are_in_the_package() -> None:
    """raylab/studies has those of studies/, and the demo's among them."""
    assert (ROOT / "raylab" / "studies").resolve() == ROOT / "studies"
    assert STUDY.resolve() == ROOT / "studies" / "demo.yaml"


def test_pages_are_in_the_package() -> None:
    """raylab/pages has the pages of docs/ but the package's own, which an index shows."""
    pages = {path.name: path.resolve() for path in (ROOT / "raylab" / "pages").iterdir()}
    assert {path.name: path for path in (ROOT / "docs").glob("*.md") if path.name != "package.md"} == pages


@pytest.mark.parametrize("asked", ["start", "start.md", "docs/start.md"])
def test_a_page_is_printed(asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The page as it stands, by its name or as other pages write it; without one, a line for each page."""
    docs(asked)
    assert (ROOT / "docs" / "start.md").read_text(encoding="utf-8") == capsys.readouterr().out
    docs()
    assert "start: Your own data, from a wristband to a report\n" in capsys.readouterr().out
    with pytest.raises(RaylabError, match=r"no page 'begin'; there are add-a-dataset, "):
        docs("begin")


def test_every_page_that_a_message_names_can_be_printed() -> None:
    """`raylab docs NAME` in the code names a page of the package: who installed it has no folder docs/."""
    sources = [path for folder in ("raylab", "analysis") for path in (ROOT / folder).rglob("*.py")]
    named = {name for path in sources for name in re.findall(r"`raylab docs ([\w-]+)`", path.read_text(encoding="utf-8"))}
    assert {"add-a-dataset", "extend", "features", "protocol", "validity"} <= named
    assert named <= {path.stem for path in (ROOT / "raylab" / "pages").glob("*.md")}


def test_a_study_of_the_package_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """studies/NAME.yaml, as pages write it, is the package's if the folder has none, and says so; the user's own file comes first."""
    monkeypatch.chdir(tmp_path)
    assert read_study(ROOT / "studies" / "wesad_wrist.yaml") == read_named_study(Path("studies/wesad_wrist.yaml"))
    assert "the package's own is used" in capsys.readouterr().err
    for path in ("studies/mine.yaml", "other/wesad_wrist.yaml", "wesad_wrist.yaml"):
        with pytest.raises(RaylabError, match=rf"{path}: No such file.*studies/NAME.yaml; NAME is one of .*wesad_wrist"):
            read_named_study(Path(path))
    Path("studies").mkdir()
    Path("studies/wesad_wrist.yaml").write_text((ROOT / "studies" / "demo.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    assert "demo" == read_named_study(Path("studies/wesad_wrist.yaml")).name
    assert "" == capsys.readouterr().err


def test_a_new_study_fits_its_dataset(tmp_path: Path) -> None:
    """The files of `raylab init` are read as they stand, and name each other's windows and label; a folder with content is left alone."""
    init(tmp_path / "mine")
    study, dataset = read_study(tmp_path / "mine" / "study.yaml"), csv_folder.describe(tmp_path / "mine" / "data")
    (entry,) = study.entries
    assert (dataset.name, True) == (entry.windows, entry.label in {label.name for label in dataset.labels})
    assert study.primary.technique in {technique.name for technique in study.techniques}
    with pytest.raises(RaylabError, match="is there already"):
        init(tmp_path / "mine")


@pytest.mark.parametrize("is_package", [True, False])
def test_a_file_in_the_way_is_a_sentence(tmp_path: Path, is_package: bool) -> None:
    """A user's analysis.py, or folder analysis, beside the command is named with the remedy, and nothing of it is run."""
    path = tmp_path / "analysis" / "__init__.py" if is_package else tmp_path / "analysis.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text("raise SystemExit('it was run')\n", encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-m", "raylab.cli", "--version"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 1 == result.returncode and "" == result.stdout
    assert f"{path} hides raylab's own package analysis" in result.stderr and "Traceback" not in result.stderr


@pytest.mark.slow
def test_the_wheel_has_what_the_commands_read(tmp_path: Path) -> None:
    """Built from the files that git knows: studies, templates and pages are inside."""
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    for name in filter(None, files):
        target = tmp_path / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            target.symlink_to((ROOT / name).readlink())
        else:
            shutil.copyfile(ROOT / name, target)
    build = f"import setuptools.build_meta as b; b.build_wheel({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=tmp_path / "source", capture_output=True, check=True)
    (wheel,) = tmp_path.glob("raylab_affect-*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    data = (
        "raylab/studies/*.yaml",
        "raylab/pages/*.md",
        "raylab/templates/*",
        "raylab/live/dashboard/page.*",
        "analysis/templates/*",
        "analysis/published/*",
    )
    assert {str(path.relative_to(ROOT)) for pattern in data for path in ROOT.glob(pattern)} <= inside
