"""The baselines beside networks: what they compute, what is stored of them, and which studies refuse them."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from builders.classical import CLASSES as Y
from builders.classical import batch_for
from builders.classical import made_batch as made
from builders.windows import make_windows
from hmmlearn.hmm import GMMHMM
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import raylab.models.registry
from raylab.errors import StudyError
from raylab.files import Folder
from raylab.models.batch import Batch
from raylab.models.hmm import HMMGMM
from raylab.models.registry import CLASSICAL_MODELS
from raylab.models.svm import SVM
from raylab.models.window_statistics import statistics
from raylab.training.stage_store import StageStore
from raylab.trials.plan import plan
from raylab.trials.run_trial import run_trial
from raylab.trials.study import parse_study


@pytest.fixture(autouse=True)
def _quiet() -> None:
    """hmmlearn says by a log line that ten iterations were not enough, which they need not be."""
    logging.getLogger("hmmlearn").setLevel(logging.ERROR)


def padded(batch: Batch) -> Batch:
    """The same windows with noise beyond their ends."""
    end = torch.arange(9) >= batch.lengths["b"][:, None]
    noise = 50 * torch.randn(30, 9, 1, generator=torch.Generator().manual_seed(1))
    return Batch({**batch.values, "b": torch.where(end[:, :, None], noise, batch.values["b"])}, batch.lengths)


@pytest.mark.parametrize("name", CLASSICAL_MODELS)
def test_a_baseline_learns_and_predicts_probabilities(name: str) -> None:
    """Most training windows get their class, rows sum to 1, padding changes nothing, and a missing channel still has an answer."""
    model, batch = CLASSICAL_MODELS[name].build(["a", "b"], 4, 0), batch_for(name, lacking=(3, 7))
    model.fit(batch, Y)

    p = model.probabilities(batch)

    assert (30, 4) == p.shape
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert not p[:, 3].any()  # a class that was not learned
    learns = name != "gradient_boosting"  # which splits no group of fewer than 40 windows
    assert (p.argmax(axis=1) == Y).mean() > (0.8 if learns else 0.3)
    np.testing.assert_array_equal(p, model.probabilities(padded(batch)))


@pytest.mark.parametrize("name", CLASSICAL_MODELS)
def test_a_stored_baseline_predicts_the_same_bits(name: str, tmp_path: Path) -> None:
    """Its arrays go to the stage store as plain arrays and come back; fitting again gives them again."""
    batch, models = batch_for(name), [CLASSICAL_MODELS[name].build(["a", "b"], 3, 5) for _ in range(3)]
    models[0].fit(batch, Y)
    models[1].fit(batch, Y)
    store = StageStore(Folder(tmp_path))

    store.save("abc", models[0].state_of(("trunk", "head")))
    models[2].load_parts(store.load("abc") or {})

    expected = models[0].probabilities(batch)
    np.testing.assert_array_equal(expected, models[1].probabilities(batch))
    np.testing.assert_array_equal(expected, models[2].probabilities(batch))
    assert safetensors.torch.load_file(tmp_path / "stages" / "abc.safetensors").keys() == models[0].arrays.keys()


@pytest.mark.parametrize("name", CLASSICAL_MODELS)
def test_a_value_that_is_no_number_names_its_channel(name: str) -> None:
    """It is not taken for a missing channel, neither in fitting nor in predicting."""
    model, batch = CLASSICAL_MODELS[name].build(["a", "b"], 3, 0), batch_for(name)
    model.fit(batch, Y)
    batch.values["a"][3, 2, 1] = torch.nan

    for act in (lambda: model.probabilities(batch), lambda: model.fit(batch, Y)):
        with pytest.raises(ValueError, match=r"channel a holds a value that is no number"):
            act()


def test_window_statistics_are_of_the_valid_steps() -> None:
    """Mean, standard deviation, five quantiles and mean absolute step of each feature, by numpy on each window's own steps."""
    batch = made(lacking=(4,))

    found = statistics(batch, ["b"])

    for row, steps in enumerate(batch.lengths["b"].tolist()):
        x = batch.values["b"][row, :steps, 0].numpy().astype(np.float64)
        if steps:
            expected = [x.mean(), x.std(), *np.quantile(x, [0.05, 0.25, 0.5, 0.75, 0.95]), np.abs(np.diff(x)).mean()]
            np.testing.assert_allclose(expected, found[row], rtol=1e-12)
        else:
            assert np.isnan(found[row]).all()


def test_the_svm_decides_as_scikit_learn_does() -> None:
    """Where SVC (C = 5) on scaled statistics votes without a tie, this one's class is the same; on two classes their decisions rank alike."""
    batch = made()
    x = StandardScaler().fit_transform(statistics(batch, ["a", "b"]))
    model = SVM(["a", "b"], 3, 0)
    model.fit(batch, Y)
    theirs = SVC(C=5.0, decision_function_shape="ovo").fit(x, Y)

    p = model.probabilities(batch)

    votes = np.zeros((30, 3))
    for column, (one, other) in enumerate(((0, 1), (0, 2), (1, 2))):
        first = theirs.decision_function(x)[:, column] > 0
        votes[:, one] += first
        votes[:, other] += ~first
    clear = votes.max(axis=1) == 2
    assert clear.sum() > 25
    np.testing.assert_array_equal(theirs.predict(x)[clear], p.argmax(axis=1)[clear])
    two = SVM(["a", "b"], 2, 0)
    few = Batch({name: v[Y < 2] for name, v in batch.values.items()}, {"b": batch.lengths["b"][Y < 2]})
    two.fit(few, Y[Y < 2])
    x = StandardScaler().fit_transform(statistics(few, ["a", "b"]))
    decision = SVC(C=5.0).fit(x, Y[Y < 2]).decision_function(x)
    np.testing.assert_allclose(1 / (1 + np.exp(-decision)), two.probabilities(few)[:, 1], rtol=1e-6)


def test_the_hmm_is_hmmlearns_left_to_right_model() -> None:
    """Each class's model starts in the first state and never goes back; its score per step is hmmlearn's."""
    batch = Batch({"a": made().values["a"]})
    model = HMMGMM(["a"], 3, 0)
    model.fit(batch, Y)

    for label in range(3):
        np.testing.assert_allclose([1.0, 0.0, 0.0], model.arrays[f"a.{label}.startprob"], atol=1e-12)
        moves = model.arrays[f"a.{label}.transmat"]
        assert not moves[np.tril_indices(3, -1)].any()
        np.testing.assert_allclose(moves.sum(axis=1), 1.0)
    x = batch.values["a"][0].numpy().astype(np.float64)
    frames = np.concatenate([x, np.diff(x, axis=0, prepend=x[:1])], axis=1)
    frames = (frames - model.arrays["a.mean"]) / model.arrays["a.scale"]
    scores = []
    for label in range(3):
        theirs = GMMHMM(3, 2)
        theirs.n_features = 4
        for part in ("startprob", "transmat", "weights", "means", "covars"):
            setattr(theirs, f"{part}_", model.arrays[f"a.{label}.{part}"])
        scores.append(theirs.score(frames) / 20)
    expected = np.exp(scores) / np.exp(scores).sum()
    np.testing.assert_allclose(expected, model.probabilities(batch)[0], rtol=1e-9)


def test_too_few_steps_for_an_hmm_are_said_so() -> None:
    """A class of one window of three steps cannot fill three states: the class and the channel are named."""
    batch = Batch({"a": torch.randn(3, 3, 1, generator=torch.Generator().manual_seed(0))})

    with pytest.raises(ValueError, match=r"class 0 has fewer than 6 different steps of a"):
        HMMGMM(["a"], 2, 0).fit(batch, np.array([0, 1, 1]))


@pytest.mark.parametrize("steps", [1, 2])
def test_windows_too_short_to_reach_the_last_state_are_learned_too(steps: int) -> None:
    """One or two steps never come to the third state (a sentence embedding is one step): the model is still one, and tells classes apart."""
    batch = Batch({"a": made().values["a"][:, -steps:]})
    model = HMMGMM(["a"], 3, 0)
    model.fit(batch, Y)

    p = model.probabilities(batch)

    assert np.isfinite(p).all()
    assert (p.argmax(axis=1) == Y).mean() > 0.5


def _study(model: dict[str, Any], *techniques: Any) -> Any:
    content = {
        "name": "b",
        "datasets": [{"windows": "made", "label": "stress"}],
        "models": [model],
        "techniques": list(techniques),
    }
    return parse_study(content, "test")


@pytest.mark.parametrize(
    ("model", "technique", "why"),
    [
        ({"encoder": "svm"}, {"name": "fine_tuning", "layers": "last"}, "fine_tuning continues from the weights .* use hybrid"),
        ({"encoder": "hmm_gmm"}, {"name": "fine_tuning", "layers": "all"}, "hmm_gmm is fitted at once"),
        ({"encoder": "svm"}, "multi_task", "multi_task trains an adapter, and svm is no network"),
        ({"encoder": "svm", "fusion": "attention"}, "non_personalized", "nothing for fusion attention to fuse"),
        ({"encoder": "hmm_gmm", "width": 0.5}, "non_personalized", "no layers for a width to scale"),
        ({"encoder": "fcn", "fusion": "weighted"}, "multi_task", "weighted fusion averages .* nothing between"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(model: dict[str, Any], technique: Any, why: str) -> None:
    """Before anything runs."""
    with pytest.raises(StudyError, match=why):
        _study(model, technique)


def test_a_missing_library_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without hmmlearn a study with hmm_gmm is refused with the line that installs it; others are not."""
    monkeypatch.setattr(raylab.models.registry, "find_spec", lambda name: None)

    with pytest.raises(StudyError, match=r"hmm_gmm needs hmmlearn.*pip install 'raylab-affect\[speech\]'"):
        _study({"encoder": "hmm_gmm"}, "non_personalized")
    assert _study({"encoder": "svm"}, "non_personalized")


@pytest.mark.parametrize("name", CLASSICAL_MODELS)
def test_a_trial_with_a_baseline_is_stored_and_reused(name: str, tmp_path: Path) -> None:
    """A trial fits it on everyone else; a second trial finds its arrays in the store and predicts the same bits."""
    windows = make_windows({f"P{i}": [0, 1] * 8 for i in range(1, 5)})
    trial = next(plan(_study({"encoder": name}, "non_personalized"), {"made": windows.index}))
    store = StageStore(Folder(tmp_path))

    seen: list[int] = []
    first, second = (run_trial(trial, windows, store, on_batch=lambda stage, rows: seen.extend(rows)) for _ in range(2))

    assert ("ok", 1, 0) == (first.status, first.record["epochs"], first.record["stages_reused"]), first.record["error"]
    assert ("ok", 0, 1) == (second.status, second.record["epochs"], second.record["stages_reused"])
    assert first.predictions is not None and first.predictions.equals(second.predictions)
    assert first.record["auroc"] > 0.7
    assert list(range(16, 64)) == seen  # everyone else's, those that a network would validate on too


def test_the_hmm_draws_from_its_own_seed_alone() -> None:
    """hmmlearn uses numpy's global stream where a cluster has one step: whatever stood in it, the arrays are the same, and it goes on as it was."""
    x = torch.randn(8, 3, 2, generator=torch.Generator().manual_seed(1))
    x[0, 0] = 1e3  # far from all other steps: a cluster of its own
    y = np.zeros(8, dtype=np.int64)
    made = []
    for before in (1, 2):
        np.random.seed(before)  # noqa: NPY002  the stream that hmmlearn draws from
        model = HMMGMM(["a"], 2, seed=3)
        model.fit(Batch({"a": x}), y)
        made.append(model.arrays)
        after = np.random.random()  # noqa: NPY002  the same stream
        np.random.seed(before)  # noqa: NPY002  the same stream
        assert np.random.random() == after  # noqa: NPY002  the same stream
    assert all(np.array_equal(made[0][name], made[1][name]) for name in made[0])
