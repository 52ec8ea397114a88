"""Log files of each trial for Tune and TensorBoard, at a cost that does not grow with the number of trials.

Tune's own loggers write into a staging folder, and each of Tune's snapshots copies that folder with every file of every trial so far. Here
a trial's files are written in place (a path) or uploaded when the trial ends (an object store), and the staging folder stays empty.
"""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ray.tune.logger import LoggerCallback
from ray.tune.schedulers import FIFOScheduler

from raylab.files import Folder
from raylab.names import folder_part
from raylab.runs.event_file import Points, append_points
from raylab.runs.progress import Log
from raylab.runs.without_harm import WithoutHarm
from raylab.trials.stacks import Unit

PARALLEL_UPLOADS = 4  # trials whose files are copied to an object store at the same time
NAMED_BY = ("dataset", "label", "model", "technique", "variant", "participant", "seed")


def _points(result: dict[str, Any]) -> Iterator[Points]:
    """The points of a report: those of its epochs, and at a trial's end its AUROC and seconds."""
    for epoch in filter(_is_of_epochs, result.get("curve", [])):
        names = sorted(epoch.keys() & {"loss", "val_loss", "learning_rate"})
        yield Points({f"{result['stage']}/{name}": float(epoch[name]) for name in names}, int(epoch["epoch"]))
    if result.get("finished"):
        yield Points({f"final/{name}": float(result[name]) for name in ("auroc", "seconds") if result.get(name) is not None})


def _is_of_epochs(epoch: dict[str, Any]) -> bool:
    """Whether this is an epoch of a training by gradients: what is fitted at once is recorded as one epoch without a learning rate."""
    return epoch.get("learning_rate") != 0


class FIFO(FIFOScheduler):
    """Starts trials in their order, as Tune does by itself; Tune's default scheduler searches all trials so far at every step."""

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """Do nothing: Tune keeps the order."""


class TensorBoardLogger(LoggerCallback):
    """A folder per trial with ``result.json`` (a line per report, for ResultGrid) and TensorBoard's events.

    The events are in a folder of the folder, named dataset/label/model/technique/variant/participant/seed: of a stack one for each of its trials.
    What is fitted at once, without epochs, has no curve. Hyperparameters and means are of variants (``raylab.runs.trackers``).

    A report carries all epochs since the last one; each becomes a step of its stage's curves. These files are a convenience: if they cannot
    be written (a full disk, a text or a number that TensorBoard does not take), the run says so once and goes on without them.

    Args:
        experiment: ``tune/<start>`` of the run folder.
        log: called with the line that says so.
    """

    def __init__(self, experiment: Folder, log: Log = print) -> None:
        self.experiment, self._without_harm = experiment, WithoutHarm("curves", log)
        self._local_root = Path(experiment.path if experiment.is_local else tempfile.mkdtemp(prefix="raylab-"))
        self._labels: dict[Any, dict[str, dict[str, Any]]] = {}  # of the trials of each of Tune's that runs
        self._uploads: list[Future[None]] = []
        self._pool = ThreadPoolExecutor(PARALLEL_UPLOADS)

    def __getstate__(self) -> dict[str, Any]:
        """Empty: Tune pickles its callbacks for a restore that raylab does not use."""
        return {}

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        with self._without_harm():
            folder = self._trial_folder(trial)
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / "result.json").open("a", encoding="utf-8") as file:
                file.write(json.dumps(result, default=str) + "\n")
        with self._without_harm():
            if points := list(_points(result)):
                append_points(self._curves_folder(trial, result), points)

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        self._labels.pop(trial, None)
        with self._without_harm():
            if not self.experiment.is_local:
                self._uploads = [upload for upload in self._uploads if not upload.done()]
                self._uploads.append(self._pool.submit(self._upload, self._trial_folder(trial).name))
        with contextlib.suppress(OSError):
            Path(trial.local_path).rmdir()  # Tune's own folder, empty: each of its snapshots would read it again

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Wait for the uploads, because Tune reads the files next."""
        self._pool.shutdown(wait=True)
        if not self.experiment.is_local:
            shutil.rmtree(self._local_root, ignore_errors=True)

    def _trial_folder(self, trial: Any) -> Path:
        return self._local_root / Path(trial.local_path).name

    def _curves_folder(self, trial: Any, result: dict[str, Any]) -> Path:
        """Of the trial that a report is of: a stack's reports are of several. It has the name that TensorBoard shows."""
        if trial not in self._labels:
            self._labels[trial] = {own.key: own.labels for own in Unit.from_config(trial.config).trials}
        labels = self._labels[trial].get(result.get("trial", ""), {})
        return self._trial_folder(trial).joinpath(*(folder_part(str(labels[name])) for name in NAMED_BY if name in labels))

    def _upload(self, name: str) -> None:
        """One object a file; pyarrow's copy of a folder would also make one for each of the folders within it."""
        with self._without_harm():
            for path in sorted((self._local_root / name).rglob("*")):
                if path.is_file():
                    self.experiment.write(path.relative_to(self._local_root).as_posix(), path.read_bytes())
        shutil.rmtree(self._local_root / name, ignore_errors=True)
