"""Trials with several workers, through Ray Train: what they leave behind, what they listen on, and what a death or a failure does."""

from pathlib import Path

import numpy as np
import pytest
import torch
from builders.nodes import named
from builders.running import every, processes, quiet
from builders.studies import small, two_workers

from raylab.errors import StudyError
from raylab.files import Folder
from raylab.models.network import build
from raylab.runs.folder import RunFolder
from raylab.runs.provenance import notes
from raylab.runs.run import indexes_of, start
from raylab.training.batches import Signals
from raylab.training.loop import train
from raylab.trials.plan import check_datasets, plan, stages_of
from raylab.trials.run_trial import one_thread
from raylab.windows.dataset import read_windows


@pytest.mark.slow
def test_a_trial_of_two_workers_ends_as_any_other(cluster: None, cohort: Path, tmp_path: Path) -> None:
    """One record, one prediction file, one training per stage; the head, which knows neither dropout nor batch norm, has the weights
    that one worker gives it; nothing listens beyond loopback."""
    listened: set[str] = set()

    def look() -> None:
        import psutil  # noqa: PLC0415

        mine = {process.pid for process in processes()}
        found = psutil.net_connections("tcp")
        listened.update(c.laddr.ip for c in found if c.status == "LISTEN" and c.pid in mine)

    out = tmp_path / "run"
    with every(0.5, look):
        summary = start(two_workers(), str(cohort), str(out), log=quiet)

    assert ({"ok": 1}, 2, 2, 0) == (
        summary.statuses, summary.stages_needed, summary.trainings_completed, summary.trainings_interrupted,
    )  # fmt: skip
    assert listened and listened <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    (trial,) = plan(two_workers(), indexes_of(two_workers(), str(cohort)))
    run = RunFolder(str(out))
    assert [f"{trial.key}.parquet"] == run.folder.names("predictions")
    windows = read_windows(Folder(str(cohort / "simulated")))
    subject, (base, head) = stages_of(trial, windows.index)
    network = build(subject.model, subject.shapes, subject.n_classes, subject.adapter, subject.fold.draws)
    network.load_parts(run.store.load(base.hash) or {})
    with one_thread():
        train(network, Signals(windows.signals), subject.fold.y, head, subject.fold.draws, torch.device("cpu"))
    for name, value in (run.store.load(head.hash) or {}).items():
        np.testing.assert_allclose(network.state_dict()[name], value, rtol=0, atol=1e-5, err_msg=name)


def test_one_and_several_workers_do_not_share_stages(cohort: Path) -> None:
    """Their weights are not the same to the bit, so they are other stages; one worker's hashes are those of a study that says nothing."""
    indexes = indexes_of(small(), str(cohort))

    one, silent, several = (
        {stage for trial in plan(small(**more), indexes) for stage in trial.stages}
        for more in ({"resources": {"workers": 1}}, {}, {"resources": {"workers": 2}})
    )

    assert one == silent
    assert not one & several


def test_tables_say_that_workers_were_several(cohort: Path) -> None:
    """The note stands under every table of a run with two workers, and under no other."""
    index = indexes_of(small(), str(cohort))
    said = ["2 workers together" in " ".join(notes(study, check_datasets(study, index))) for study in (two_workers(), small())]

    assert [True, False] == said


def test_several_workers_need_ray(cohort: Path, tmp_path: Path) -> None:
    """In process there is one worker: a study that asks for two is refused with what to do, before anything is written."""
    with pytest.raises(StudyError, match=r"resources.workers: 2 needs Ray"):
        start(two_workers(), str(cohort), str(tmp_path / "run"), "local", log=quiet)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_killed_worker_of_two_is_a_trial_run_again(cluster: None, cohort: Path, tmp_path: Path) -> None:
    """kill -9 of one of the two while they train: the trial starts again by itself and ends ok; the training is counted as interrupted."""
    out, killed = tmp_path / "run", []

    def look() -> None:
        workers = named("ray::RayTrainWorker", processes())
        if not killed and len(workers) == 2 and RunFolder(str(out)).folder.names("trainings"):
            killed.append(workers[1].pid)
            workers[1].kill()

    with every(0.2, look):
        summary = start(
            two_workers(protocol={"epochs": 150, "patience": 150, "batch_size": 4}), str(cohort), str(out), log=quiet
        )

    assert killed
    assert ({"ok": 1}, 2, 1) == (summary.statuses, summary.trainings_completed, summary.trainings_interrupted)


@pytest.mark.slow
def test_a_failure_on_two_workers_is_named(cluster: None, cohort: Path, tmp_path: Path) -> None:
    """A learning rate that makes the loss infinite fails the trial with that sentence, once: it is not taken for a death and not run again."""
    out = tmp_path / "run"

    summary = start(two_workers(protocol={"epochs": 20, "learning_rate": 1e30}), str(cohort), str(out), log=quiet)

    assert ({"failed": 1}, 0, 1) == (summary.statuses, summary.trainings_completed, summary.trainings_interrupted)
    (record,) = RunFolder(str(out)).records()
    assert "TrainingError: " in record["error"] and "is nan in epoch" in record["error"]
