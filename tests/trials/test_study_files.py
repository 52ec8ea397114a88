"""Study files as people write them: every mistake is a sentence with its key, and nothing but a study or a StudyError comes out."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders.studies import study
from hypothesis import given, settings
from hypothesis import strategies as st

from raylab.errors import StudyError
from raylab.trials.study import parse_study, read_study


def problems(**changes: Any) -> str:
    """The message on a small study with these changes."""
    with pytest.raises(StudyError) as refused:
        parse_study(study(**changes), "s.yaml")
    return str(refused.value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seeds": [-1]}, "seeds.0: it has to be greater than or equal to 0, not -1"),
        ({"seeds": [1, 2, 1]}, "seeds: it names 1 twice; name each once"),
        ({"seeds": [10**400]}, "seeds.0: it has to be less than or equal to 9223372036854775807, not 1000"),
        ({"seeds": [True]}, "seeds: true and false (also yes, no, on, off) are no value of this key"),
        ({"seeds": []}, "seeds: it has to name at least one"),
        ({"seeds": 3}, "seeds: it has to be a list, not 3"),
        ({"resources": {"cpu": float("inf")}}, "resources.cpu: it has to be a finite number, not inf"),
        ({"resources": {"cpu": float("nan")}}, "resources.cpu: it has to be a finite number, not nan"),
        ({"resources": {"gpu": float("inf")}}, "resources.gpu: it has to be 'auto' or a finite number, not inf"),
        ({"resources": {"workers": 10**9}}, "resources.workers: it has to be less than or equal to 1024, not 1000000000"),
        ({"resources": {"worker": 2}}, "resources.worker: is no key of it; did you mean workers? (there are workers, cpu, stack, gpu, windows,"),
        ({"epoch": 3}, "epoch: is no key of it (there are name, datasets, models,"),
        ({"seed": [1]}, "seed: is no key of it; did you mean seeds?"),
        ({"protocol": {"epoch": 3}}, "protocol.epoch: is no key of it; did you mean epochs? (there are epochs, patience,"),
        ({"protocol": {"stages": {"calibration": {"rate": 1}}}}, "protocol.stages.calibration.rate: is no key of it"),
        ({"protocol": {"augmentation": {"noize": 1}}}, "protocol.augmentation.noize: is no key of it; did you mean noise?"),
        ({"protocol": {"learning_rate": float("inf")}}, "protocol.learning_rate: it has to be a finite number"),
        ({"protocol": {"epochs": 10**30}}, "protocol.epochs: it has to be less than or equal to 1000000000"),
        ({"protocol": {"precision": "fp16"}}, "protocol.precision: it has to be 'float32', 'tf32' or 'bf16', not 'fp16'"),
        ({"protocol": {"stages": {"calibration": {"precision": "bf16"}}}}, "protocol.stages.calibration.precision: is no key of it"),
        ({"protocol": None}, "protocol: it has to be a mapping of keys to values, not None"),
        ({"folds": None}, "folds: it has to be a mapping of keys to values, not None"),
        ({"folds": {"groups": 3}}, "folds.groups: is no key of it"),
        ({"models": ["fcn"]}, "models.0: it has to be a mapping of keys to values, not 'fcn'"),
        ({"models": [{"encoder": "fcn", "width": True}]}, "models.0.width: true and false"),
        ({"models": [{"encoder": "fcn", "modalities": ["eda", "eda"]}]}, "models.0.modalities: it names eda twice"),
        ({"models": [{"encoder": "fcn", "techniques": []}]}, "models.0.techniques: it has to name at least one"),
        ({"models": [{"encoder": "fcn", "techniques": ["tuning"]}]}, "fcn names the technique tuning, and the study has "),
        ({"techniques": [{"name": "fine_tuning", "axes": None}]}, "techniques.0: axes has to be a mapping of axes to values, not None"),
        ({"techniques": [{"name": "fine_tuning", "budget": None}]}, "techniques.0: budget is empty; give values, or leave it out"),
        ({"techniques": [{"name": "fine_tuning", "budget": []}]}, "techniques.0: budget names no value"),
        ({"techniques": [{"name": "fine_tuning", "budget": [10**400]}]}, "techniques.0: budget: a whole number is at most"),
        ({"techniques": [{"name": "fine_tuning", "budget": [[1]]}]}, "techniques.0.axes.budget.0: it has to be text or a whole number or a number"),
        ({"techniques": [{"name": "fine_tuning", "axes": {"budget": 1}, "budget": 2}]}, "budget stands under `axes` and beside it"),
        ({"techniques": [{"budget": 1}]}, "techniques.0.name: is missing"),
        ({"techniques": "fine_tuning"}, "techniques: it has to be a list, not 'fine_tuning'"),
        ({"search": {"width": [0.5, None]}}, "search.axes.width.1: it has to be text or a whole number or a number, not None"),
        ({"search": {"epochs": list(range(1, 2000)), "patience": list(range(1, 2000))}}, "3,996,001 combinations"),
        ({"search": [1]}, "search: it has to be a mapping of keys to values, not [1]"),
        ({"name": 5}, "name: it has to be text, not 5; YAML reads it as a number or a date: write it in quotes"),
        ({"purge": "perhaps"}, "purge: it has to be true or false, not 'perhaps'"),
        ({"primary_metric": []}, "primary_metric: it has to be text, not []"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_its_key(changes: dict[str, Any], sentence: str) -> None:
    """What stands there, what was expected, and for a key that does not exist those that do."""
    assert f"s.yaml: {sentence}" in problems(**changes) or sentence in problems(**changes)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"channels": ["a", "a"]}, "datasets.0.channels: it names a twice"),
        ({"channels": []}, "datasets.0.channels: it has to name at least one"),
        ({"participants": [1]}, "datasets.0.participants.0: it has to be text, not 1; YAML reads it as a number or a date"),
        ({"participants": []}, "datasets.0.participants: it has to name at least one"),
        ({"windows": "a\0b"}, r"datasets.0.windows: the path 'a\x00b' holds a control character"),
        ({"folds": {"train_on": "a\nb"}}, r"datasets.0.folds.train_on: the path 'a\nb' holds a control character"),
        ({"people": 10**30}, "datasets.0.people: it has to be less than or equal to"),
        ({"label": ["stress"]}, "datasets.0.label: it has to be text, not ['stress']"),
    ],
)
def test_a_wrong_dataset_entry_is_named_with_its_key(entry: dict[str, Any], sentence: str) -> None:
    """The same in the entries of a list."""
    assert sentence in problems(datasets=[{"windows": "made", "label": "stress", **entry}])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "expected a mapping with name, datasets, models, techniques; it is empty"),
        ("- 1\n- 2", "expected a mapping with name, datasets, models, techniques; it holds [1, 2]"),
        ("name: a\nname: b", "line 2, column 1: the key 'name' stands twice"),
        ("name: a\n\tdatasets: b", "indent with spaces, not with tabs"),
        ("name: a\nseeds: [0, .inf]", "line 2, column 12: '.inf' is no finite number"),
    ],
)
def test_a_file_that_is_no_study_is_named(text: str, sentence: str, tmp_path: Path) -> None:
    """With its name and, if YAML tells, the line."""
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(StudyError) as refused:
        read_study(path)
    assert str(path) in str(refused.value)
    assert sentence in str(refused.value)


def test_a_study_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    """The file, the line and what to do; with a byte-order mark it is read."""
    path = tmp_path / "s.yaml"
    text = yaml.safe_dump(study(name="Prüfung"), allow_unicode=True)
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(StudyError, match=rf"{path}, line \d+ is not UTF-8 .*save the file as UTF-8"):
        read_study(path)
    path.write_bytes(text.encode("utf-8-sig"))
    assert "Prüfung" == read_study(path).name


FULL: dict[str, Any] = study(
    datasets=[
        {"windows": "made", "label": "stress", "name": "m", "channels": ["a"], "participants": ["P1"], "people": 3,
         "folds": "leave_one_participant_out"}
    ],
    models=[{"encoder": "fcn", "fusion": "late", "width": 0.5, "modalities": ["eda"]}],
    techniques=["non_personalized", {"name": "fine_tuning", "layers": ["all"], "budget": 0.2, "axes": {"draw": ["initial"]}}],
    folds={"group_k_fold": 2},
    search=None,
    seeds=[0, 1],
    protocol={"epochs": 2, "augmentation": {"noise": 0.1}, "stages": {"calibration": {"epochs": 1, "learning_rate": 0.1}}},
    purge=False,
    primary_metric="auroc",
    resources={"workers": 1, "cpu": 1, "gpu": "auto"},
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every key and every item of a nested value."""
    inner = list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    return [place for key, item in inner for place in ((*path, key), *places(item, (*path, key)))]


scalars = (
    st.none() | st.booleans() | st.integers() | st.integers(-(10**400), 10**400) | st.floats() | st.text(max_size=8)
    | st.sampled_from(["fcn", "svm", "fine_tuning", "hybrid", "all", "auto", "silhouette", "leave_one_participant_out", "0.5", "1e999", "", "\0"])
    | st.dates()
)  # fmt: skip
keys = (
    st.sampled_from(["name", "axes", "width", "epochs", "budget", "folds", "split", "stages", "calibration", "k"])
    | st.text(max_size=5)
    | st.integers()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=6
)


@given(st.lists(st.tuples(st.sampled_from(places(FULL)), values | st.just("DELETE")), min_size=1, max_size=3), st.booleans())
@settings(max_examples=500, deadline=None)
def test_any_value_at_any_key_gives_a_study_or_its_problems(changes: list[tuple[tuple[Any, ...], Any]], added: bool) -> None:
    """No other error, whatever stands there; and the problems can be printed."""
    content = json.loads(json.dumps(FULL))
    for path, value in changes:
        parent: Any = content
        for step in path[:-1]:
            parent = parent[step] if isinstance(parent, list | dict) and _has(parent, step) else None
        if not isinstance(parent, list | dict) or not _has(parent, path[-1]):
            continue
        if value == "DELETE" and isinstance(parent, dict):
            del parent[path[-1]]
        elif added and isinstance(parent, dict):
            parent[str(value)[:8] if not isinstance(value, int) else 3] = value
        else:
            parent[path[-1]] = value
    refused: list[str] = []
    try:
        read = parse_study(content, "s.yaml")
    except StudyError as error:
        refused = error.problems
        assert refused
    assert all(problem.startswith("s.yaml") for problem in refused)
    if not refused:
        assert read == parse_study(read.as_dict(), "again")


def _has(container: Any, step: Any) -> bool:
    return step in container if isinstance(container, dict) else isinstance(step, int) and step < len(container)


@given(values)
@settings(max_examples=300, deadline=None)
def test_any_yaml_gives_a_study_or_its_problems(value: Any) -> None:
    """Whatever the file holds."""
    with pytest.raises(StudyError):
        parse_study(value, "s.yaml")
    with pytest.raises(StudyError):
        parse_study(study(search=value, folds=value, datasets=[value], models=value, techniques=[value]), "s.yaml")
