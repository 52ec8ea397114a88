"""The function that Tune runs on a worker: one trial, its files, and its reports to the driver."""

from typing import Any

import ray
import torch
from ray import tune

from raylab.runs.folder import RunFolder
from raylab.runs.gpu_memory import limit_gpu_memory
from raylab.runs.multi_worker import run_on_several_workers
from raylab.trials.run_trial import Outcome, run_trial
from raylab.trials.trial import Trial


def trainable(config: dict[str, Any], windows: dict[str, Any], run: str, per_worker: dict[str, float]) -> None:
    """Run one trial; Tune calls this function (a "trainable" in its words) with the trial as ``config``.

    Args:
        config: ``trial``, made by the trial's ``as_config``.
        windows: by the path of each dataset's windows, their reference in the object store.
        run: URI of the run folder.
        per_worker: resources of each worker of a trial: cpu, gpu.
    """
    trial = Trial.from_config(config["trial"])
    folder = RunFolder(run)
    if trial.workers > 1:
        outcome = run_on_several_workers(trial, windows[trial.windows], run, per_worker)
    else:
        outcome = _run_alone(trial, windows[trial.windows], folder, per_worker["gpu"])
    try:
        folder.write_outcome(outcome, ray.util.get_node_ip_address())
    except OSError as error:  # a full disk, a store out of reach: the driver gets the report, and writes the record when it can
        outcome.fail(error)
    fields = {name: value for name, value in outcome.record.items() if name != "traceback"}
    tune.report({**fields, "row": trial.labels, "stage": "", "stage_done": "", "curve": [], "finished": True})


def _run_alone(trial: Trial, windows: Any, folder: RunFolder, gpu: float) -> Outcome:
    cuda = bool(gpu) and torch.cuda.is_available()
    with limit_gpu_memory(gpu if cuda else 0):
        return run_trial(trial, ray.get(windows), folder.store, "cuda" if cuda else "cpu", tune.report)
