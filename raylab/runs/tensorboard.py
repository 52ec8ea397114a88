"""Curves per epoch and hyperparameters for TensorBoard, in the trials' Tune folders."""

from typing import Any

from ray.tune.logger import LoggerCallback
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams


class TensorBoard(LoggerCallback):
    """One report of a trial carries all epochs since the last one; each becomes a step of its stage's curves.

    Tune's own logger would write one step per report, and a report per epoch costs more than a short epoch.
    """

    def __init__(self) -> None:
        self._writers: dict[Any, SummaryWriter] = {}

    def log_trial_start(self, trial: Any) -> None:
        self._writers[trial] = SummaryWriter(trial.local_path, flush_secs=10)

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        if trial not in self._writers:
            self.log_trial_start(trial)
        for epoch in result.get("curve", []):
            for name in ("loss", "val_loss", "learning_rate"):
                if name in epoch:
                    self._writers[trial].add_scalar(f"{result['stage']}/{name}", epoch[name], int(epoch["epoch"]))

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        writer = self._writers.pop(trial, None)
        if writer is None:
            return
        row = {k: v for k, v in trial.last_result.get("row", {}).items() if isinstance(v, str | int | float)}
        metrics = {"final/auroc": trial.last_result.get("auroc"), "final/seconds": trial.last_result.get("seconds")}
        known = {name: float(value) for name, value in metrics.items() if value is not None}
        if row and known:
            for summary in hparams(row, known):
                writer.file_writer.add_summary(summary)
            for name, value in known.items():
                writer.add_scalar(name, value)
        writer.close()
