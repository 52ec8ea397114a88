"""A trial with several workers: Ray Train starts them, each runs the trial as one of a group, the first one stores and predicts.

Called from inside a Tune function (Train V2 cannot be handed to Tune, and `ray.train.report` in a Tune function is an error). Ray Train reserves the
workers in a placement group of its own: what Tune reserves for the trial is for the function that waits for them, which computes
nothing. Its controller looks every 2 s, and a start costs seconds: this is for long trials only.
"""

import contextlib
import os
import socket
import tempfile
import time
from collections.abc import Iterator
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
from raylab.runs.folder import RunFolder
from raylab.runs.gpu_memory import limit_gpu_memory
from raylab.training.worker_group import WorkerGroup
from raylab.trials.run_trial import Outcome, run_trial
from raylab.trials.trial import Trial

SUPERVISOR = {"CPU": 0, "memory": 1}  # one byte: Tune refuses to reserve nothing, and a share of a CPU could take the last one
DEATH_IS_SEEN_S = 10.0  # Ray Train notices a dead worker within this time
SILENCE = timedelta(minutes=30)  # a collective that takes longer is an error


class TrialFailedError(RaylabError, RuntimeError):
    """A trial's own failure on one of its workers, with the outcome; no worker died."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.record["error"])
        self.outcome = outcome

    def __reduce__(self) -> tuple[Any, ...]:
        return TrialFailedError, (self.outcome,)


class _Meeting(Backend):
    """Nothing at start: the workers meet in `_met`."""

    share_cuda_visible_devices = True  # nccl reaches the cards of the others


@dataclass
class _OwnMeeting(TorchConfig):
    """Torch without Ray's own process group, whose store listens on every address of the machine."""

    @property
    def backend_cls(self) -> type[Backend]:
        return _Meeting


@contextlib.contextmanager
def _met(group: WorkerGroup, backend: str) -> Iterator[None]:
    """Torch's process group of these workers. Its store listens on the address that Ray uses; on a local Ray all is loopback.

    After an error the group is left as it is: the others wait in it until Ray Train ends them, and none of them takes a closed
    connection for the cause.
    """
    address = ray.util.get_node_ip_address()
    if address.startswith("127."):
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    listening = socket.create_server((address, 0)) if group.is_leader else None
    host, port = broadcast_from_rank_zero(listening.getsockname() if listening else None)
    fd = listening.detach() if listening else None
    store = distributed.TCPStore(host, port, group.size, group.is_leader, SILENCE, master_listen_fd=fd)  # type: ignore[attr-defined]  # not in its stub
    distributed.init_process_group(backend, store=store, rank=group.rank, world_size=group.size, timeout=SILENCE)
    yield
    distributed.destroy_process_group()


def _worker(config: dict[str, Any]) -> Outcome:
    """What runs on each worker; the first one's outcome is the trial's."""
    context, gpu = train.get_context(), config["each"]["gpu"]
    group = WorkerGroup(context.get_world_rank(), context.get_world_size())
    cuda = gpu and torch.cuda.is_available()
    backend = "nccl" if cuda and gpu >= 1 else "gloo"  # nccl refuses two workers on one card
    with _met(group, backend), limit_gpu_memory(gpu if cuda else 0):
        device = str(get_device()) if cuda else "cpu"
        store = RunFolder(config["run"]).store
        outcome = run_trial(config["trial"], ray.get(config["windows"]), store, device, train.report, group=group)
        if outcome.status == "failed":
            # where another worker died, its closed connection is what went wrong here: let Ray Train see the death first
            time.sleep(DEATH_IS_SEEN_S)
            raise TrialFailedError(outcome)
    return outcome


def run_with_several(trial: Trial, windows: Any, run: str, each: dict[str, float]) -> Outcome:
    """Run the trial on its ``trial.workers`` workers.

    Args:
        windows: reference to its windows in the object store.
        run: URI of the run folder.
        each: what each worker gets: cpu, gpu.

    Raises:
        TrainingFailedError: where a worker or its node died; Tune then runs the trial again, as any other.
    """
    reserved = {name.upper(): amount for name, amount in each.items() if amount}
    with tempfile.TemporaryDirectory() as scratch:  # Ray Train notes there that it ran; the run folder holds what matters
        trainer = TorchTrainer(
            _worker,
            train_loop_config={"trial": trial, "windows": windows, "run": run, "each": each},
            torch_config=_OwnMeeting(),
            scaling_config=train.ScalingConfig(
                num_workers=trial.workers, use_gpu=each["gpu"] > 0, resources_per_worker=reserved
            ),
            run_config=train.RunConfig(name="train", storage_path=scratch, callbacks=[TuneReportCallback()]),
        )
        return _outcome(trainer)


def _outcome(trainer: TorchTrainer) -> Outcome:
    """The first worker's outcome, or the failure that stopped the trial."""
    try:
        found: Outcome = trainer.fit().return_value
        return found
    except train.WorkerGroupError as error:
        causes = [getattr(failure, "_base_exc", failure) for failure in error.worker_failures.values()]
        if all(isinstance(cause, TrialFailedError) for cause in causes):
            failed: Outcome = causes[0].outcome
            return failed
        raise
