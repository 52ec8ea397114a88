"""Every function of docs/site/api.rst says shapes, units, errors and source; and what the pages' examples import is on it."""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pandas as pd
import pytest

import analysis
from analysis.errors import AnalysisError
from analysis.scores.paired_scores import paired_scores
from analysis.statistics.best_reference import compare_with_best_reference
from analysis.statistics.fairness import group_gaps
from analysis.statistics.variant_selection import select_variants

ROOT = Path(__file__).resolve().parents[2]
API = (ROOT / "docs" / "site" / "api.rst").read_text(encoding="utf-8")
DIRECTIVE = re.compile(r"^\.\. auto(function|class|module):: ([\w.]+)\n((?:   :.*\n)*)", re.MULTILINE)
SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises|Units|Source):\n((?:(?: .*)?(?:\n|\Z))+)", re.MULTILINE)
SHAPE = re.compile(r"\(n|\(batch|one row per|one row of|\brows?\b")  # of an array, or of a table
MANY_NUMBERS = (
    "Array",
    "Tensor",
    "DataFrame",
    "RowIds",
    "DataLoader",
    "Windows",
    "RunTables",
)  # in an annotation: it holds numbers in a shape
NUMBERS = (*MANY_NUMBERS, "float")


def _object(dotted: str) -> Any:
    """What a dotted name is of: a module, or something in one."""
    try:
        return import_module(dotted)
    except ModuleNotFoundError:
        place, _, name = dotted.rpartition(".")
        return getattr(_object(place), name)


def _members(owner: Any, module: str) -> Iterator[tuple[str, Any]]:
    """Public functions and classes of a module, or methods and properties of a class, that are defined there."""
    for name, value in vars(owner).items():
        own = isinstance(value, property) or getattr(value, "__module__", "") == module
        if own and not name.startswith("_") and (isinstance(value, FunctionType | property) or inspect.isclass(value)):
            yield name, value


def public() -> dict[str, Any]:
    """Dotted name to function, class or property of each entry of the page, methods included."""
    entries: dict[str, Any] = {}
    for kind, dotted, options in DIRECTIVE.findall(API):
        value = _object(dotted)
        if kind == "module" and ":no-members:" not in options:
            entries |= {f"{dotted}.{name}": member for name, member in _members(value, dotted)}
        elif kind != "module":
            entries[dotted] = value
    for dotted, value in list(entries.items()):
        if inspect.isclass(value):
            entries |= {f"{dotted}.{name}": member for name, member in _members(value, value.__module__)}
    return entries


PUBLIC = public()
CALLABLE = {name: value for name, value in PUBLIC.items() if not isinstance(value, property)}


def _sections(value: Any) -> dict[str, str]:
    return dict(SECTION.findall(inspect.cleandoc(value.__doc__ or "")))


@cache
def _functions(module: ModuleType) -> dict[str, ast.FunctionDef]:
    """The functions and methods of a module by their names."""
    return {node.name: node for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.FunctionDef)}


def _errors(node: ast.AST, known: Mapping[str, ast.FunctionDef], seen: frozenset[str]) -> set[str]:
    """Names of the errors that leave a node: of its own statements and of the known functions that it calls, but for those that a `try` catches."""
    if isinstance(node, ast.Try):
        caught = {
            name.id
            for handler in node.handlers
            if handler.type
            for name in ast.walk(handler.type)
            if isinstance(name, ast.Name)
        }
        inside = set[str]().union(*(_errors(part, known, seen) for part in node.body)) - caught
        return inside.union(*(_errors(part, known, seen) for part in (*node.handlers, *node.orelse, *node.finalbody)))
    errors = set[str]()
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        errors.add(getattr(node.exc.func, "id", ""))
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in known and name not in seen:
            errors |= _errors(known[name], known, seen | {name})
    return errors.union(*(_errors(part, known, seen) for part in ast.iter_child_nodes(node)))


def raised(value: Callable[..., Any]) -> set[str]:
    """The errors that a function raises: by its own statements, and by the functions of its module that it calls, or they call."""
    node = ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]
    return _errors(node, _functions(import_module(value.__module__)), frozenset())


def missing(value: Any) -> list[str]:
    """What the docstring of a function or class does not say."""
    sections, document = _sections(value), inspect.cleandoc(value.__doc__ or "")
    problems = [] if re.match(r"(?s)[^\n].*?\.(\n\n|$)", document) else ["a first paragraph that is a sentence"]
    problems += [] if sections.get("Source", "").strip() else ["Source"]
    signature = inspect.signature(value)
    explained = sections.get("Args", "") + sections.get("Attributes", "")
    named = {name.strip() for names in re.findall(r"^    ([\w, ]+):", explained, re.MULTILINE) for name in names.split(",")}
    problems += [f"argument {name}" for name in signature.parameters if name != "self" and name not in named]
    annotations = str([parameter.annotation for parameter in signature.parameters.values()])
    if isinstance(value, FunctionType):
        returned = "" if signature.return_annotation in (None, "None") else str(signature.return_annotation)
        outcome = sections.get("Returns", "") + sections.get("Yields", "")
        problems += ["Returns"] if returned and not outcome else []
        if any(word in returned for word in MANY_NUMBERS) and not SHAPE.search(outcome) and "RunTables" not in returned:
            problems.append("the shape of what is returned")
        annotations += returned
        absent = sorted(error for error in raised(value) if error not in sections.get("Raises", ""))
        problems += [f"Raises {error}" for error in absent]
    problems += ["Units"] if any(word in annotations for word in NUMBERS) and not sections.get("Units") else []
    return problems


@pytest.mark.parametrize("name", CALLABLE)
def test_a_public_function_says_shapes_units_errors_and_source(name: str) -> None:
    """Arguments, what is returned and its shape, units where it has numbers, the errors that its module raises, and a source."""
    assert [] == missing(CALLABLE[name])


@pytest.mark.parametrize("name", [name for name in PUBLIC if name not in CALLABLE])
def test_a_property_has_a_sentence(name: str) -> None:
    """Its first line says what it is."""
    assert re.match(r"[A-Z][^\n]+\.", PUBLIC[name].__doc__ or "")


def test_the_check_sees_what_is_missing() -> None:
    """An argument, a return, a shape, an error of a function that is called, units and a source."""

    def bare(values: "analysis.RunTables", other: int) -> "DataFrame":  # type: ignore[name-defined]  # noqa: F821
        """No sentence"""
        raise AnalysisError("never called")

    def whole(values: "analysis.RunTables") -> "DataFrame":  # type: ignore[name-defined]  # noqa: F821
        """A sentence.

        Args:
            values: of a run.

        Returns:
            one row per trial.

        Raises:
            AnalysisError: always.

        Units:
            none.

        Source:
            this test.
        """
        raise AnalysisError("never called")

    expected = ["a first paragraph that is a sentence", "Source", "argument values", "argument other", "Returns"]
    assert [*expected, "the shape of what is returned", "Raises AnalysisError", "Units"] == missing(bare)
    assert [] == missing(whole)


@pytest.mark.parametrize("page", ["read-a-run", "own-estimator", "extend"])
def test_functions_of_the_examples_are_on_the_page(page: str) -> None:
    """What an example of a page imports from `analysis` or `raylab` and calls as a function is a public function."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    absent = []
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if page != "extend" else []:
        tree = ast.parse(block)
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        names = {alias.name: f"{node.module}.{alias.name}" for node in imports for alias in node.names}
        calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        for call in calls:
            dotted = ast.unparse(call)
            first, _, rest = dotted.partition(".")
            dotted = names.get(first, first) + (f".{rest}" if rest else "")
            if dotted.startswith(("analysis.", "raylab.")) and inspect.isfunction(_object(dotted)):
                absent += [] if dotted in PUBLIC else [dotted]
    absent += [name for name in re.findall(r"`(raylab\.testing\.\w+)`", text) if name not in PUBLIC]
    assert [] == absent


@pytest.mark.parametrize(
    "call",
    [
        lambda scores: analysis.compare(scores, "acuracy"),
        lambda scores: paired_scores(scores, "acuracy"),
        lambda scores: select_variants(scores, "acuracy"),
        lambda scores: group_gaps(scores, scores, "acuracy"),
        lambda scores: compare_with_best_reference(EMPTY, scores, "acuracy"),
    ],
    ids=["compare", "paired_scores", "select_variants", "group_gaps", "compare_with_best_reference"],
)
def test_a_metric_that_is_not_there_is_a_sentence(call: Callable[[Any], Any]) -> None:
    """It names the metric and those that there are."""
    with pytest.raises(AnalysisError, match=r"no metric 'acuracy'; there are accuracy, .*auroc"):
        call(analysis.score(EMPTY))


NOTHING = pd.DataFrame()
EMPTY = analysis.RunTables(plan=NOTHING, trials=NOTHING, predictions=NOTHING, notes=())
