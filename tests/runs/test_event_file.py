"""Event files that are written a report at a time: TensorBoard reads them as one, and nothing lives between two reports."""

import threading
from pathlib import Path
from typing import ClassVar

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from raylab.files import Folder
from raylab.runs.event_file import Points, append_points
from raylab.runs.tensorboard_logs import TensorBoardLogger


def test_tensorboard_reads_what_was_written_by_and_by(tmp_path: Path) -> None:
    """Each curve has its points in order, whichever report they came with; not a number is a value too."""
    folder, threads = tmp_path / "a" / "b", threading.active_count()
    append_points(folder, [Points({"base/loss": 0.5, "base/val_loss": 1.0}, 1), Points({"base/loss": float("nan")}, 2)])
    assert threads == threading.active_count()
    append_points(folder, [Points({"base/loss": 0.25}, 3)])
    append_points(folder, [Points({"final/auroc": 0.75})])
    events = EventAccumulator(str(folder))
    events.Reload()
    assert {"base/loss", "base/val_loss", "final/auroc"} == set(events.Tags()["scalars"])
    assert ["(1, 0.5)", "(2, nan)", "(3, 0.25)"] == [str((event.step, event.value)) for event in events.Scalars("base/loss")]
    assert [(0, 0.75)] == [(event.step, event.value) for event in events.Scalars("final/auroc")]
    assert 1 == len(list(folder.iterdir()))


@pytest.mark.parametrize("points", [Points({"\ud800": 1.0}), Points({"a": "text"}), Points({"a": 1.0}, 2**70)])  # type: ignore[dict-item]  # a text, on purpose
def test_what_tensorboard_does_not_take_leaves_the_file_as_it_was(tmp_path: Path, points: Points) -> None:
    """A record that is written in part would end the file for its reader."""
    append_points(tmp_path, [Points({"a": 1.0}, 1)])
    (file,) = tmp_path.iterdir()
    before = file.read_bytes()
    with pytest.raises((TypeError, ValueError)):
        append_points(tmp_path, [Points({"a": 2.0}, 2), points])
    assert before == file.read_bytes()


class _TuneTrial:
    """What Tune gives a logger."""

    config: ClassVar[dict] = {}

    def __init__(self, path: Path) -> None:
        self.local_path = str(path)


def test_a_run_says_once_that_its_curves_cannot_be_written(tmp_path: Path) -> None:
    """Whatever is in the way: here a file where the folder of the experiment has to be."""
    (tmp_path / "tune").write_text("")
    lines = list[str]()
    logger, trial = TensorBoardLogger(Folder(tmp_path / "tune"), lines.append), _TuneTrial(tmp_path / "tune" / "unit")
    for iteration in range(3):
        logger.log_trial_result(iteration, trial, {"finished": True, "auroc": 0.5})
    logger.log_trial_end(trial)
    assert 1 == len(lines) and lines[0].startswith("curves of this run are incomplete, the run goes on: ")
