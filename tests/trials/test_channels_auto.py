"""`channels: auto` in a trial: chosen before the first training, stored with it, shared by later stages, shown in the record."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.windows import make_windows

from raylab.errors import StudyError
from raylab.files import Folder
from raylab.models.build import build_model
from raylab.runs.folder import TRIAL_COLUMNS
from raylab.training.stage_store import StageStore
from raylab.trials.plan import plan, stages_of
from raylab.trials.run_trial import Outcome, run_trial
from raylab.trials.study import parse_study
from raylab.trials.trial import Trial
from raylab.windows.dataset import Windows


def people() -> Windows:
    """Seven people; ``a`` knows the class, ``b`` knows it with a sign that is the person's."""
    windows = make_windows({f"P{i}": [0, 1] * 6 for i in range(1, 8)})
    y, person = windows.index.labels["stress"], windows.index.participant_index
    sign = np.where(person % 2, 1.0, -1.0) * (y - 0.5)
    b = windows.signals["b"] * 0.01 + 5 * sign[:, None, None]
    return Windows(windows.index, {"a": windows.signals["a"], "b": b.astype(np.float32)})


WINDOWS = people()


def trials_of(model: dict[str, Any], *techniques: Any) -> list[Trial]:
    content = {
        "name": "auto",
        "datasets": [{"windows": "made", "label": "stress", "participants": ["P1"]}],
        "models": [model],
        "techniques": list(techniques),
        "protocol": {"epochs": 1, "batch_size": 32, "batch_share": 1.0},
    }
    return list(plan(parse_study(content, "test"), {"made": WINDOWS.index}))


def run(trial: Trial, where: Path) -> Outcome:
    outcome = run_trial(trial, WINDOWS, StageStore(Folder(where)))
    assert outcome.status == "ok", outcome.record["error"]
    return outcome


FCN = {"encoder": "fcn", "width": 0.02, "channels": "auto"}


def test_the_choice_is_stored_with_the_first_stage_and_inherited(tmp_path: Path) -> None:
    """Fine-tuning continues from it, with a head alone too; a resumed trial finds it in the store, and the record shows it."""
    base, *tuned = trials_of(FCN, "non_personalized", {"name": "fine_tuning", "budget": 2, "layers": ["all", "last"]})

    first, again = run(base, tmp_path), run(base, tmp_path)
    records = [run(trial, tmp_path).record for trial in tuned]

    assert "fcn w0.02 auto" == base.labels["model"]
    assert [1, 0] == [len(first.trained), len(again.trained)]
    assert [["a"]] * 4 == [outcome.record["channels_selected"] for outcome in (first, again)] + [
        record["channels_selected"] for record in records
    ]
    assert first.predictions is not None and first.predictions.equals(again.predictions)
    assert "channels_selected" in TRIAL_COLUMNS.names
    context, stages = stages_of(tuned[1], WINDOWS.index)
    states = [StageStore(Folder(tmp_path)).load(stage.hash) or {} for stage in stages]
    assert [1.0, 0.0] == states[0]["trunk.selected"].tolist() and "trunk.selected" not in states[1]
    model = build_model(context.model, context.shapes, context.n_classes, context.adapter, context.fold.draws)
    model.load_parts(states[0])
    assert ("a",) == model.channels_selected


@pytest.mark.parametrize("encoder", ["lda", "rule", "fcn"])
def test_every_kind_of_model_chooses_alike(encoder: str, tmp_path: Path) -> None:
    """The judge is one for all models; a model without a choice says nothing of one."""
    model = {"encoder": encoder, **({"width": 0.02} if encoder == "fcn" else {})}

    auto, plain = (run(trials_of({**model, **more}, "non_personalized")[0], tmp_path) for more in ({"channels": "auto"}, {}))

    assert ["a"] == auto.record["channels_selected"]
    assert "channels_selected" not in plain.record


@pytest.mark.parametrize(
    ("technique", "expected"),
    [
        ({"name": "hybrid", "budget": 3}, ["a"]),  # its first stage has windows of the target, which have no part in the choice
        ({"name": "user_dependent", "budget": 3}, ["a", "b"]),  # nobody but the target
    ],
)
def test_the_target_does_not_choose(technique: dict[str, Any], expected: list[str], tmp_path: Path) -> None:
    """Techniques whose first stage trains on the target."""
    assert expected == run(trials_of(FCN, technique)[0], tmp_path).record["channels_selected"]


def test_the_hash_depends_on_the_declaration_alone() -> None:
    """The plan is made without signals; with a choice every stage has another hash than without."""
    plain = {name: value for name, value in FCN.items() if name != "channels"}
    with_choice, without = (trials_of(model, "non_personalized")[0] for model in (FCN, plain))

    assert not set(with_choice.stages) & set(without.stages)
    assert with_choice == Trial.from_config(with_choice.as_config())


def test_other_words_than_auto_are_refused() -> None:
    """Channels by name belong to the dataset entry."""
    with pytest.raises(StudyError, match=r"models\.0\.channels: it has to be 'auto'"):
        trials_of({"encoder": "fcn", "channels": ["a"]}, "non_personalized")
