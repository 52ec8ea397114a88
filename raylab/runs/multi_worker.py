"""A trial with several workers: Ray Train starts them, each runs the trial as one of a group, and the first one stores and predicts.

This runs inside a Tune function, because Train V2 cannot be handed to Tune (and `ray.train.report` in a Tune function is an error). Ray
Train reserves the workers in a placement group of its own. The resources that Tune reserves for the trial are for its supervisor, the
function that waits for the workers and computes nothing. Ray Train's controller polls every 2 s and a start costs seconds, so several
workers serve long trials only.
"""

import contextlib
import os
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import ray
import torch
from ray import train
from ray.train.backend import Backend
from ray.train.collective import broadcast_from_rank_zero
from ray.train.torch import TorchConfig, TorchTrainer, get_device
from ray.tune.integration.ray_train import TuneReportCallback
from torch import distributed

from raylab.errors import RaylabError
from raylab.plugins import Plugin, enter_same
from raylab.runs.folder import RunFolder
from raylab.runs.gpu_memory import limit_gpu_memory
from raylab.runs.shared_windows import windows_of
from raylab.training.worker_group import WorkerGroup
from raylab.trials.run_trial import Outcome, run_trial
from raylab.trials.trial import Trial

SUPERVISOR_RESOURCES = {
    "CPU": 0,
    "memory": 1,
}  # one byte: Tune refuses to reserve nothing, and a share of a CPU could take the last CPU
DEATH_DETECTION_S = 10.0  # Ray Train notices a dead worker within this time
COLLECTIVE_TIMEOUT = timedelta(minutes=30)  # a collective that takes longer is an error


class TrialFailedError(RaylabError, RuntimeError):
    """The trial itself failed on one of its workers, and no worker died; carries the outcome."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.record["error"])
        self.outcome = outcome

    def __reduce__(self) -> tuple[Any, ...]:
        return TrialFailedError, (self.outcome,)


class _NoSetupBackend(Backend):
    """Sets nothing up at the start: the workers connect in `_process_group`."""

    share_cuda_visible_devices = True  # nccl reaches the other workers' cards


@dataclass
class _TorchConfigWithoutSetup(TorchConfig):
    """Ray Train for torch without Ray's own process group, whose store listens on every address of the machine."""

    @property
    def backend_cls(self) -> type[Backend]:
        return _NoSetupBackend


@contextlib.contextmanager
def _process_group(group: WorkerGroup, backend: str) -> Iterator[None]:
    """Torch's process group of these workers. Its store listens on the address that Ray uses, on a local Ray on loopback.

    After an error the group is left as it is: the other workers wait in it until Ray Train ends them, and none of them mistakes a closed
    connection for the cause.
    """
    address = ray.util.get_node_ip_address()
    if address.startswith("127."):
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    listening = socket.create_server((address, 0)) if group.is_leader else None
    host, port = broadcast_from_rank_zero(listening.getsockname() if listening else None)
    fd = listening.detach() if listening else None
    store = distributed.TCPStore(host, port, group.size, group.is_leader, COLLECTIVE_TIMEOUT, master_listen_fd=fd)  # type: ignore[attr-defined]  # not in its stub
    distributed.init_process_group(backend, store=store, rank=group.rank, world_size=group.size, timeout=COLLECTIVE_TIMEOUT)
    yield
    distributed.destroy_process_group()


def _run_on_worker(config: dict[str, Any]) -> Outcome:
    """Run the trial as one worker of its group; the first worker's outcome is the trial's."""
    enter_same(config["plugins"])
    context, gpu = train.get_context(), config["per_worker"]["gpu"]
    group = WorkerGroup(context.get_world_rank(), context.get_world_size())
    cuda = gpu and torch.cuda.is_available()
    backend = "nccl" if cuda and gpu >= 1 else "gloo"  # nccl refuses two workers on one card
    with _process_group(group, backend), limit_gpu_memory(gpu if cuda else 0):
        device = str(get_device()) if cuda else "cpu"
        store = RunFolder(config["run"]).store
        # not sparing: another process writes the trial's record, and could not put the account of a training into it
        store.hold(**config["held"], sparing=False)
        outcome = run_trial(config["trial"], windows_of(config["windows"]), store, device, train.report, group=group)
        if outcome.status == "failed":
            # if another worker died, its closed connection is the error here: let Ray Train notice the death first
            time.sleep(DEATH_DETECTION_S)
            raise TrialFailedError(outcome)
    return outcome


def run_on_several_workers(
    trial: Trial,
    windows: Any,
    run: str,
    per_worker: dict[str, float],
    plugins: tuple[Plugin, ...] = (),
    held: Mapping[str, Any] | None = None,
) -> Outcome:
    """Run the trial on its ``trial.workers`` workers.

    Args:
        windows: reference to its windows in the object store.
        run: URI of the run folder.
        per_worker: resources of one worker: cpu, gpu.
        plugins: that the driver has entered.
        held: which stages are not stored (arguments of ``StageStore.hold``).

    Raises:
        TrainingFailedError: if a worker or its node died; Tune then runs the trial again, like any other.
    """
    reserved = {name.upper(): amount for name, amount in per_worker.items() if amount}
    with tempfile.TemporaryDirectory() as scratch:  # for Ray Train's own notes; the run folder holds the results
        trainer = TorchTrainer(
            _run_on_worker,
            train_loop_config={
                "trial": trial,
                "windows": windows,
                "run": run,
                "per_worker": per_worker,
                "plugins": plugins,
                "held": dict(held or {}),
            },
            torch_config=_TorchConfigWithoutSetup(),
            scaling_config=train.ScalingConfig(
                num_workers=trial.workers, use_gpu=per_worker["gpu"] > 0, resources_per_worker=reserved
            ),
            run_config=train.RunConfig(name="train", storage_path=scratch, callbacks=[TuneReportCallback()]),
        )
        return _outcome_of(trainer)


def _outcome_of(trainer: TorchTrainer) -> Outcome:
    """The first worker's outcome, or the failure that stopped the trial."""
    try:
        outcome: Outcome = trainer.fit().return_value
        return outcome
    except train.WorkerGroupError as error:
        causes = [getattr(failure, "_base_exc", failure) for failure in error.worker_failures.values()]
        if all(isinstance(cause, TrialFailedError) for cause in causes):
            failed: Outcome = causes[0].outcome
            return failed
        raise
