"""The pages say what exists: links, paths, names of the code, decisions; and one class name has one meaning."""

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

import analysis
from raylab.runs.folder import TRIAL_COLUMNS

ROOT = Path(__file__).resolve().parents[2]
CODE = ("raylab", "analysis", "jobs", "benchmarks")
FOLDERS = (*CODE, "tests", "docs", "studies", "deploy")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md")])
SOURCES = sorted(path for folder in (*CODE, "tests") for path in (ROOT / folder).rglob("*.py"))

PATH = re.compile(rf"(?:{'|'.join(FOLDERS)})/[\w./-]*")
DOTTED = re.compile(rf"(?:{'|'.join(CODE)})(?:\.\w+)+")
LINK = re.compile(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)", re.MULTILINE)  # in the text, or below it
DECISION = re.compile(r"decisions?[ /](\d{4})")
REFERENCE = re.compile(r"\bdocs/[\w/-]+\.(?:md|py)(?:, (?P<heading>[A-Z][^),.;:]*))?")


def _relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _without_code_blocks(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def _headings(page: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", _without_code_blocks(page), re.MULTILINE)


def _anchor(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@cache
def _body(path: Path) -> list[ast.stmt]:
    return ast.parse(path.read_text(encoding="utf-8")).body


def _member(body: list[ast.stmt], name: str) -> list[ast.stmt] | None:
    """Body of the class, or an empty one of anything else that these statements define under the name; None if nothing."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return node.body if isinstance(node, ast.ClassDef) else []
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return []
        if isinstance(node, ast.Import | ast.ImportFrom) and any((alias.asname or alias.name) == name for alias in node.names):
            return []
    return None


def _exists(dotted: str) -> bool:
    """Whether a dotted name is a module, or something that a module or its class defines."""
    place, names = ROOT, dotted.split(".")
    while names and (place / names[0]).is_dir():
        place /= names.pop(0)
    in_module = bool(names) and (place / f"{names[0]}.py").exists()
    module = place / (f"{names.pop(0)}.py" if in_module else "__init__.py")
    body: list[ast.stmt] | None = _body(module) if module.exists() else None
    for name in names:
        body = None if body is None else _member(body, name)
    return body is not None


def test_a_name_is_found_where_it_is_defined() -> None:
    """Modules, classes, their fields and methods, constants and what a package re-exports; nothing that is not there."""
    there = [
        "raylab.folds", "raylab.folds.fold", "raylab.folds.fold.Fold", "raylab.folds.fold.Fold.target", "raylab.folds.fold.Fold.others",
        "raylab.models.fusions.FUSIONS", "analysis.score", "benchmarks.sweep",
    ]  # fmt: skip
    absent = ["raylab.fold", "raylab.folds.fold.Folder", "raylab.folds.fold.Fold.nobody", "raylab.folds.fold.Fold.target.name"]
    assert there == [name for name in there + absent if _exists(name)]


@pytest.mark.parametrize("page", PAGES, ids=_relative)
def test_names_in_backticks_exist(page: Path) -> None:
    """Each `path/of/a/file` and each `dotted.name` of the code on a page exists."""
    absent = []
    for text in re.findall(r"`([^`\n]+)`", _without_code_blocks(page)):
        if PATH.fullmatch(text) and not (ROOT / text).exists():
            absent.append(text)
        if DOTTED.fullmatch(text) and not (ROOT / text).exists() and not _exists(text):  # benchmarks.md would be a file
            absent.append(text)
    assert [] == absent


@pytest.mark.parametrize("page", PAGES, ids=_relative)
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link leads to a file that exists, and each anchor to a heading."""
    broken = []
    for link in map("".join, LINK.findall(_without_code_blocks(page))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        file = page.parent / name if name else page
        if not file.exists() or (anchor and anchor not in map(_anchor, _headings(file))):
            broken.append(link)
    assert [] == broken


@pytest.mark.parametrize("source", [*SOURCES, *PAGES], ids=_relative)
def test_references_to_pages_and_decisions_exist(source: Path) -> None:
    """A page, a heading of it (a capital letter after the comma) or a decision that the code or a page refers to exists."""
    text = re.sub(r"\s+", " ", source.read_text(encoding="utf-8"))
    numbers = {path.name[:4] for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md")}
    absent = [f"decision {number}" for number in DECISION.findall(text) if number not in numbers]
    for reference in REFERENCE.finditer(text):
        page, heading = ROOT / reference[0].split(",")[0], reference["heading"] if source.suffix == ".py" else None
        if not page.exists() or (heading and not any(heading.startswith(known) for known in _headings(page))):
            absent.append(reference[0])
    assert [] == absent


def test_the_list_of_decisions_is_whole() -> None:
    """Each decision has one line in the list, and each line a page."""
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert sorted(path.name for path in folder.glob("[0-9]*.md")) == sorted(listed)


def test_every_column_has_its_sentence() -> None:
    """The tables of docs/architecture.md explain the columns that the code stores, all of them and no others."""
    nothing = pd.DataFrame()
    scores = analysis.score(analysis.RunTables(plan=nothing, trials=nothing, predictions=nothing, notes=()))
    columns = {
        "trials.parquet": TRIAL_COLUMNS.names,
        "report/scores.csv": scores.columns,
        "report/comparison.csv": analysis.compare(scores).columns,
    }
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for name, stored in columns.items():
        table = text.split(f"### `{name}`\n")[1].split("\n#")[0]
        explained = [column for row in re.findall(r"^\|(.*?)\|", table, re.MULTILINE) for column in re.findall(r"`(\w+)`", row)]
        assert sorted(stored) == sorted(explained), name


def test_one_class_name_has_one_meaning() -> None:
    """No two classes of one name in raylab, analysis, jobs and benchmarks, private ones included."""
    places = defaultdict(list)
    for path in SOURCES:
        if path.relative_to(ROOT).parts[0] in CODE:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(_relative(path))
    assert {} == {name: files for name, files in places.items() if len(files) > 1}


def test_the_front_page_is_readable_in_a_terminal() -> None:
    """No line of the README over 140 characters."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert [] == [line for line in lines if len(line) > 140]
