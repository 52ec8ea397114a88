"""Shares of a GPU: the arithmetic, and what happens where there is none. A real card was not at hand: what needs one is untested."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from builders.studies import small

from raylab.files import Folder
from raylab.runs.gpu_memory import limit_gpu_memory, peak_of, resolve_gpu_share, share_of_gpu, step_of
from raylab.runs.run import indexes_of
from raylab.training.job import CPU, Job
from raylab.training.stacked import End, train_stack
from raylab.trials.plan import plan
from raylab.trials.resources import Resources
from raylab.windows.dataset import read_windows

GIB = 2**30


@pytest.mark.parametrize(
    ("expected", "peak", "card"),
    [
        (0.125, 1, 80 * GIB),  # never less than an eighth
        (0.125, GIB, 16 * GIB),  # 1.2 of 16 is 0.075
        (0.125, 5 * GIB, 48 * GIB),  # exactly an eighth with the headroom
        (0.25, 5 * GIB + 1, 48 * GIB),
        (0.5, 6 * GIB, 16 * GIB),
        (1.0, 14 * GIB, 16 * GIB),
        (1.0, 20 * GIB, 16 * GIB),  # does not fit: the whole card, and the trial fails with torch's sentence
    ],
)
def test_a_share_holds_the_peak_with_room(expected: float, peak: int, card: int) -> None:
    """Eighths, rounded up from 1.2 times the measured peak, at most a whole card."""
    assert expected == share_of_gpu(peak, card)


@pytest.mark.parametrize(("peak", "card"), [(0, GIB), (GIB, 0), (-1, GIB)])
def test_a_peak_of_nothing_is_refused(peak: int, card: int) -> None:
    """No training needs no memory: such a measurement went wrong."""
    with pytest.raises(ValueError, match="both are above 0"):
        share_of_gpu(peak, card)


def test_without_gpus_nothing_is_measured(cluster: None) -> None:
    """Here `auto` stays what it is, a named share too, and nobody is told anything."""
    said: list[str] = []

    for resources in (Resources(), Resources(gpu=0.25), Resources(gpu=0)):
        assert resources == resolve_gpu_share(resources, [], {}, said.append)
    assert not said


def test_a_peak_needs_a_gpu(cohort: Path) -> None:
    """Where torch sees no GPU the measurement says so, and no memory is capped."""
    trial = next(plan(small(), indexes_of(small(), str(cohort))))

    assert peak_of(trial, read_windows(Folder(str(cohort / "simulated")))) is None
    with limit_gpu_memory(0):
        pass


@pytest.mark.parametrize("members", [1, 3])
def test_the_measured_step_runs(cohort: Path, members: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured on a card, here on the processor: a training alone, or as many beside each other as the study's stacks have."""
    study = small(protocol={"epochs": 2, "batch_size": 16, "precision": "bf16"})
    trial = next(plan(study, indexes_of(study, str(cohort))))
    trained: list[int] = []

    def counted(jobs: Sequence[Job], *rest: Any) -> list[End]:
        trained.append(len(jobs))
        assert all("bf16" == job.network.precision for job in jobs)
        return train_stack(jobs, *rest)

    monkeypatch.setattr("raylab.training.stacked.train_stack", counted)
    step_of(trial, read_windows(Folder(str(cohort / "simulated"))), members, CPU)

    assert trained == ([members] if members > 1 else [])
