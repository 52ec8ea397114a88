"""What runs on a worker: one trial, its files, and what the driver must hear of it."""

from typing import Any

import ray
import torch
from ray import tune

from raylab.runs.folder import RunFolder
from raylab.runs.gpu_memory import limit_gpu_memory
from raylab.runs.multi_worker import run_with_several
from raylab.trials.run_trial import Outcome, run_trial
from raylab.trials.trial import Trial


def trainable(config: dict[str, Any], windows: dict[str, Any], run: str, each: dict[str, float]) -> None:
    """A Tune function.

    Args:
        windows: path of each dataset's windows to their reference in the object store.
        run: URI of the run folder.
        each: what each worker of a trial gets: cpu, gpu.
    """
    trial = Trial.from_config(config["trial"])
    folder = RunFolder(run)
    if trial.workers > 1:
        outcome = run_with_several(trial, windows[trial.windows], run, each)
    else:
        outcome = _alone(trial, windows[trial.windows], folder, each["gpu"])
    try:
        folder.write_outcome(outcome, ray.util.get_node_ip_address())
    except OSError as error:  # a full disk, a store that is away: the driver hears of it, and writes the record when it can
        outcome.fail(error)
    kept = {name: value for name, value in outcome.record.items() if name != "traceback"}
    tune.report({**kept, "row": trial.labels, "stage": "", "stage_done": "", "curve": [], "finished": True})


def _alone(trial: Trial, windows: Any, folder: RunFolder, gpu: float) -> Outcome:
    cuda = bool(gpu) and torch.cuda.is_available()
    with limit_gpu_memory(gpu if cuda else 0):
        return run_trial(trial, ray.get(windows), folder.store, "cuda" if cuda else "cpu", tune.report)
