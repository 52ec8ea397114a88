"""Trackers get each variant's parameters and mean; one that fails, or is not installed, is named and harms no run."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
from builders.studies import small
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import analysis
from analysis.scores.training_curves import loss_quartiles, training_curves
from raylab.errors import RaylabError
from raylab.runs.run import start
from raylab.runs.trackers import VariantSummary, tracker


def lda(budget: float) -> list[object]:
    return ["non_personalized", {"name": "hybrid", "budget": budget, "unit": "window"}]


@pytest.fixture(scope="module")
def run_and_summaries(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[VariantSummary], list[str]]:
    """A run of two variants whose trackers are one that keeps what it gets and one that fails; it is started twice."""
    out, got, lines = tmp_path_factory.mktemp("tracked") / "run", list[VariantSummary](), list[str]()

    def keep(name: str, summaries: Sequence[VariantSummary]) -> None:
        assert name == "small"
        got[:] = summaries

    def fail(name: str, summaries: Sequence[VariantSummary]) -> None:
        raise ConnectionError("no server")

    study = small(models=[{"encoder": "lda"}], techniques=lda(0.3), protocol={})
    for _ in range(2):
        assert start(study, str(cohort), str(out), "local", log=lines.append, trackers=[keep, fail]).complete
    return out, got, lines


def test_a_tracker_gets_the_means_of_the_records(run_and_summaries: tuple[Path, list[VariantSummary], list[str]]) -> None:
    """Dataset to variant and every axis by name as parameters; the mean AUROC over participants, as the records have it."""
    run, got, lines = run_and_summaries
    records = analysis.load(run).trials
    assert ["hybrid", "non_personalized"] == [summary.parts[3] for summary in got]
    assert 0.3 == got[0].parameters["budget"]
    for summary in got:
        own = records[records["technique"].eq(summary.parts[3])]
        assert {
            "auroc": pytest.approx(own["auroc"].mean()),
            "participants": 5,
            "seconds": pytest.approx(own["seconds"].sum()),
        } == (summary.metrics)
    assert 2 == sum("a tracker was not written (ConnectionError: no server)" in line for line in lines)


def test_tensorboard_has_a_run_of_each_variant(run_and_summaries: tuple[Path, list[VariantSummary], list[str]]) -> None:
    """One folder each, named as it is called, with HParams and the mean; a second start replaces the first one's. LDA, which has no epochs, has
    no curve in the report."""
    run, got, _ = run_and_summaries
    files = sorted((run / "tensorboard").rglob("events.*"))
    assert [summary.parts[:4] for summary in got] == [file.relative_to(run / "tensorboard").parts[:4] for file in files]
    for file, summary in zip(files, got, strict=True):
        events = EventAccumulator(str(file.parent))
        events.Reload()
        assert "_hparams_/session_start_info" in events.summary_metadata
        assert pytest.approx(summary.metrics["auroc"]) == events.Scalars("auroc")[0].value
    curves = training_curves(run)
    assert len(curves) and loss_quartiles(curves).empty


@pytest.mark.parametrize("text", ["mlflow", "mlflow:", "neptune:x", ":x"])
def test_a_tracker_that_is_none_is_a_sentence(text: str) -> None:
    """With what there is."""
    with pytest.raises(RaylabError, match=r"names no tracker; --track takes mlflow:URI .* wandb:offline"):
        tracker(text)


@pytest.mark.parametrize(
    ("text", "module", "package"), [("mlflow:file:x", "mlflow", "mlflow-skinny"), ("wandb:offline", "wandb", "wandb")]
)
def test_a_tracker_that_is_not_installed_is_a_sentence(text: str, module: str, package: str) -> None:
    """With what to install."""
    if find_spec(module):
        pytest.skip(f"{module} is installed here")
    with pytest.raises(RaylabError, match=f"not installed: pip install {package}"):
        tracker(text)


def test_a_mode_of_wandb_is_known() -> None:
    """Offline or online."""
    with pytest.raises(RaylabError, match="wandb:maybe is no mode"):
        tracker("wandb:maybe")


@pytest.mark.slow
def test_mlflow_shows_a_run_of_each_variant(
    run_and_summaries: tuple[Path, list[VariantSummary], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a store of files, with the parameters and the mean."""
    monkeypatch.setenv(
        "MLFLOW_ALLOW_FILE_STORE", "true"
    )  # the one that mlflow-skinny has without a database; MLflow keeps it as it is
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed: pip install mlflow-skinny")
    uri = f"file:{tmp_path / 'mlruns'}"
    tracker(f"mlflow:{uri}")("small", run_and_summaries[1])
    mlflow.set_tracking_uri(uri)
    runs = mlflow.search_runs(experiment_names=["small"], output_format="list")
    assert sorted(s.metrics["auroc"] for s in run_and_summaries[1]) == sorted(run.data.metrics["auroc"] for run in runs)
    assert {"lda"} == {run.data.params["model"] for run in runs}
