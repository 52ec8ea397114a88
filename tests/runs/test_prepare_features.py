"""`raylab prepare --features`: stored, counted, printed, the same with Ray; without it nothing changes. What a study makes of them."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raylab import cli
from raylab.errors import RaylabError, StudyError
from raylab.files import Folder
from raylab.folds.fold import Fold
from raylab.models.batch import Batch
from raylab.models.svm import SVM
from raylab.runs.prepare import PrepareRequest, prepare
from raylab.training.stage_store import StageStore
from raylab.trials.plan import plan
from raylab.trials.run_trial import run_trial
from raylab.trials.study import Study, parse_study
from raylab.trials.trial import Trial
from raylab.windows.card import WindowsCard
from raylab.windows.dataset import Windows, read_card, read_windows
from raylab.windows.duplicate_recordings import duplicate_recordings

SMALL = {"participants": 5, "minutes": 3, "seed": 3}  # the options of the cohort fixture
SIGNALS = ("ecg", "ppg", "eda", "rsp")
FEATURES = tuple(f"{name}_features" for name in SIGNALS)
QUALITY = tuple(f"{name}_quality" for name in SIGNALS)


def order(out: Path, *contexts_s: float) -> PrepareRequest:
    return PrepareRequest("simulated", ".", str(out), options=SMALL, feature_contexts_s=contexts_s)


@pytest.fixture(scope="module")
def said() -> list[str]:
    """What preparing the windows of ``prepared`` said."""
    return []


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, said: list[str]) -> Path:
    """The cohort's folder, with features of 10 and 30 s."""
    root = tmp_path_factory.mktemp("windows")
    prepare(order(root / "simulated", 10.0, 30.0), say=said.append, where="local")
    return root


@pytest.fixture(scope="module")
def windows(prepared: Path) -> Windows:
    return read_windows(Folder(prepared / "simulated"))


def study(model: dict[str, Any], *techniques: Any, **entry: Any) -> Study:
    content = {
        "name": "features",
        "datasets": [{"windows": "simulated", "label": "stress", "participants": ["P01"], **entry}],
        "models": [model],
        "techniques": list(techniques) or ["non_personalized"],
    }
    return parse_study(content, "test")


def trials(windows: Windows, model: dict[str, Any], *techniques: Any, **entry: Any) -> list[Trial]:
    return list(plan(study(model, *techniques, **entry), {"simulated": windows.index}))


def test_features_stand_beside_the_windows(windows: Windows, cohort: Path) -> None:
    """The signals are the same bits as without features, and four channels of features and four of quality are behind them."""
    plain = read_windows(Folder(cohort / "simulated"))
    assert (*SIGNALS, *FEATURES, *QUALITY) == tuple(windows.signals)
    assert SIGNALS == windows.index.card.signal_channels
    for name in SIGNALS:
        np.testing.assert_array_equal(windows.signals[name], plain.signals[name], strict=True)
        assert np.isfinite(windows.signals[name]).all()
    assert windows.index.fingerprint != plain.index.fingerprint
    assert not any(channel.features for channel in plain.index.card.channels)


def test_the_card_names_features_and_counts_what_is_missing(windows: Windows, said: list[str]) -> None:
    """The counts in the card are the NaN that are stored, by participant; preparing says the share and why."""
    card = windows.index.card
    for channel in card.channels[len(SIGNALS) :]:
        stored = np.isnan(windows.signals[channel.name][:, 0])
        for column, feature in enumerate(channel.features):
            assert feature.sources == (channel.name.removesuffix("_features").removesuffix("_quality"),)
            assert feature.missing or not stored[:, column].any()
            assert stored[:, column].mean() == pytest.approx(card.missing_share(channel.name, feature.name))
            for number, entry in enumerate(card.participants):
                rows = windows.index.participant_index == number
                assert stored[rows, column].sum() == entry.missing.get(channel.name, {}).get(feature.name, 0)
    text = "\n".join(said)
    assert "eda_features: 16 features of eda" in text
    share = card.missing_share("eda_features", "scr_amplitude_10s")
    assert f"missing in {share:.1%} of the windows, because no skin conductance response was found: scr_amplitude_10s" in text
    assert share > 0


def test_quality_is_told_by_participant_and_channel(windows: Windows, said: list[str]) -> None:
    """The means in the card are those of the stored values; preparing prints them as one table."""
    card = windows.index.card
    for number, entry in enumerate(card.participants):
        rows = windows.index.participant_index == number
        assert set(entry.quality) == set(QUALITY)
        for channel in card.channels[-len(QUALITY) :]:
            means = windows.signals[channel.name][rows, 0].astype(np.float64).mean(axis=0)
            told = [entry.quality[channel.name][name] for name in channel.feature_names]
            assert told == pytest.approx(means, abs=1e-4)
    head = next(number for number, line in enumerate(said) if "signal quality, means over the windows" in line)
    assert "ecg flat_share  ecg clipped_share  ecg beat_share  ppg flat_share" in said[head + 1]
    assert [line.split()[0] for line in said[head + 2 : head + 7]] == ["P01", "P02", "P03", "P04", "P05"]
    assert float(said[head + 2].split()[3]) == pytest.approx(
        card.participants[0].quality["ecg_quality"]["beat_share_10s"], abs=1e-3
    )


def test_models_get_quality_apart_from_features(windows: Windows) -> None:
    """A model of features does not see quality; one that names it does."""
    for modality, names in (("features", FEATURES), ("quality", QUALITY)):
        (trial,) = plan(study({"encoder": "lda", "modalities": [modality]}), {"simulated": windows.index})
        assert trial.channels == names


def test_cards_without_features_do_not_mention_them(cohort: Path) -> None:
    """The file is as it was before there were features; the same card is read from one with them."""
    text = (cohort / "simulated" / "card.json").read_text(encoding="utf-8")
    assert '"features"' not in text
    assert '"missing"' not in text
    assert '"quality"' not in text


@pytest.mark.slow  # a minute of processes that start
def test_features_by_ray_are_the_same_bits(cluster: None, prepared: Path, tmp_path: Path) -> None:
    """Ray Data and this process write the same windows and the same card."""
    assert prepare(order(tmp_path, 10.0, 30.0), say=lambda line: None) == read_card(Folder(prepared / "simulated"))


def test_the_command_stores_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--features and --context reach the card; a context without features, and one that is none, are refused."""
    requests: list[PrepareRequest] = []

    def kept(request: PrepareRequest, *rest: Any) -> WindowsCard | None:
        requests.append(request)
        return None

    monkeypatch.setattr("raylab.cli.commands.prepare.prepare_dataset", kept)
    monkeypatch.setattr("raylab.cli.commands.prepare.connect", lambda address: None)

    def code(*arguments: str) -> Any:
        monkeypatch.setattr(sys, "argv", ["raylab", "prepare", "simulated", "--out", str(tmp_path), *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code

    assert [0] * 3 == [code(), code("--features"), code("--features", "--context", "10", "--context", "60")]
    assert [None, (), (10.0, 60.0)] == [request.feature_contexts_s for request in requests]
    assert 0 not in [code("--context", "10"), code("--features", "--context", "0")]


def test_utterances_have_none() -> None:
    """Speech has its own features."""
    with pytest.raises(RaylabError, match="emodb holds utterances: --features and --feature-table are for running signals"):
        _ = PrepareRequest("emodb", ".", "out", feature_contexts_s=()).settings


def test_models_get_features_if_they_name_them(windows: Windows) -> None:
    """By default the signals alone; by modality or channel the features, of the entry's channels only."""
    assert SIGNALS == trials(windows, {"encoder": "svm"})[0].channels
    assert SIGNALS == trials(windows, {"encoder": "fcn"})[0].channels
    assert FEATURES == trials(windows, {"encoder": "svm", "modalities": ["features"]})[0].channels
    both = trials(windows, {"encoder": "svm", "modalities": ["eda", "features"]}, channels=["eda", "ppg"])[0]
    assert both.channels == ("eda", "ppg_features", "eda_features")
    named = trials(windows, {"encoder": "svm"}, channels=["eda_features", "eda"])[0]
    assert named.channels == ("eda_features", "eda")


def test_what_cannot_use_features_says_why(windows: Windows, cohort: Path) -> None:
    """Networks, what follows steps, and windows that were prepared without features."""
    for encoder, why in (("fcn", "is a network, which has no mask"), ("hmm_gmm", "follows the steps of a window")):
        with pytest.raises(StudyError, match=why):
            trials(windows, {"encoder": encoder, "modalities": ["features"]})
    with pytest.raises(StudyError, match=r"prepared without features, which .* asks for; prepare it again with --features"):
        trials(read_windows(Folder(cohort / "simulated")), {"encoder": "svm", "modalities": ["features"]})


def test_a_study_runs_on_features(windows: Windows, tmp_path: Path) -> None:
    """The SVM learns from them, whatever is missing, with every technique that it takes; probabilities are finite."""
    model = {"encoder": "svm", "modalities": ["features"]}
    techniques = ["non_personalized", {"name": "hybrid", "budget": 4}, {"name": "cluster_specific", "by": "data", "k": 2}]
    planned = trials(windows, model, *techniques)
    outcomes = [run_trial(trial, windows, StageStore(Folder(tmp_path))) for trial in planned]
    assert ["ok"] * 3 == [outcome.status for outcome in outcomes], [outcome.record.get("error") for outcome in outcomes]
    assert outcomes[0].record["auroc"] > 0.8


def test_what_is_missing_counts_as_the_mean_of_the_training_windows(windows: Windows) -> None:
    """Fitted on some people, the mean of a feature is that of their windows that have it; what none of them has tells nothing of others."""

    x = windows.signals["eda_features"].copy()
    train, test = (np.flatnonzero((windows.index.participant_index == 0) == held_out) for held_out in (False, True))
    x[train, 0, 3] = np.nan
    model = SVM(["eda_features"], 2, 0)
    model.fit(Batch({"eda_features": torch.from_numpy(x[train])}, {}), windows.index.labels["stress"][train].astype(np.int64))

    known = [column for column in range(x.shape[2]) if column != 3]
    np.testing.assert_allclose(
        model.arrays["mean"][known], np.nanmean(x[train][:, 0, known].astype(np.float64), axis=0), rtol=1e-9
    )
    before = model.probabilities(Batch({"eda_features": torch.from_numpy(x[test])}, {}))
    x[test, 0, 3] = 1e6
    np.testing.assert_array_equal(before, model.probabilities(Batch({"eda_features": torch.from_numpy(x[test])}, {})))
    x[test[0], 0, 7] = np.nan
    missing = model.probabilities(Batch({"eda_features": torch.from_numpy(x[test])}, {}))
    x[test[0], 0, 7] = model.arrays["mean"][7]
    np.testing.assert_allclose(missing, model.probabilities(Batch({"eda_features": torch.from_numpy(x[test])}, {})), rtol=1e-5)


def test_windows_that_share_a_context_are_not_tested_on(windows: Windows) -> None:
    """Features of 30 s see five windows further back than signals of 10 s do: as many more overlap a trained window."""
    folds = [Fold(windows.index, "stress", "P01", 0, channels=channels) for channels in (SIGNALS, FEATURES)]
    assert [10.0, 30.0] == [fold.reach_s for fold in folds]
    first = folds[0].target_windows[:1]
    later = folds[0].target_windows[1:]
    assert [1, 5] == [len(fold.overlapping(later, first)) for fold in folds]


def test_similarity_and_copies_go_by_the_signals(windows: Windows, cohort: Path) -> None:
    """Windows are described by their signals, whatever features a model sees; recordings that are alike are found as without features."""
    plain = read_windows(Folder(cohort / "simulated")).index
    for channels in (None, FEATURES, SIGNALS):
        np.testing.assert_array_equal(windows.index.described(channels), plain.described(), strict=True)
    np.testing.assert_array_equal(windows.index.described(("eda_features", "eda")), plain.described(["eda"]))
    assert duplicate_recordings(windows.index) == duplicate_recordings(plain)
