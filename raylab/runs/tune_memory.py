"""What Tune keeps of each trial for as long as a driver lives, cut to what is read: memory grows with it (docs/results/scale.md)."""

from numbers import Number
from typing import Any

from ray import tune

# Tune keeps minimum, maximum and four means of every number that a trial reports: only of these
KEPT_NUMBERS = ("seed", "auroc", "seconds", "n_test", "epochs", "training_iteration", "time_total_s", "done", "pid")
DROPPED_FIELDS = ("row", "stages", "curve", "trainings", "checkpoint_dir_name", "date", "hostname")


class KeepLittle(tune.Callback):
    """Takes from a trial what nobody reads from Tune. It has to be the last callback: the others see whole reports, and ``result.json`` has them."""

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        """Tune keeps a trial's last report, in memory and in every snapshot."""
        for name in [name for name, value in result.items() if isinstance(value, Number) and name not in KEPT_NUMBERS]:
            del result[name]
        for name in DROPPED_FIELDS:
            result.pop(name, None)
        result["config"] = trial.config  # not the copy of it that came with the report

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune keeps the last 5 and 10 values of every number, to average them while a trial runs, and stores each as a pickle in hexadecimal.
        A trial that has ended needs the averages alone, which stay."""
        trial.run_metadata.metric_n_steps = {}
