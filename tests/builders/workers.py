"""What one of several workers does in the tests: trains every case with the others, and writes down what came of it.

Apart from the tests, because the processes import this file: it needs neither ray nor pytest.
"""

import pickle
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed, nn

from raylab.models.network import Network, build
from raylab.training.batches import Signals
from raylab.training.loop import TrainingError, train
from raylab.training.stage_hash import PlannedStage, TrainingContext
from raylab.training.worker_group import WorkerGroup
from raylab.trials.run_trial import one_thread
from raylab.windows.dataset import Windows


@dataclass(frozen=True)
class Case:
    """One training. ``plain``: dropout's probability is 0; ``double``: in double precision, where rounding shows the least."""

    windows: Windows
    context: TrainingContext
    stage: PlannedStage
    plain: bool = False
    double: bool = False


def trained(case: Case, group: WorkerGroup) -> dict[str, Any]:
    """The case's weights, curve and batches on this worker; the error's sentence where training refuses."""
    context, signals = case.context, Signals(case.windows.signals)
    with one_thread():  # an orthogonal start has other bits on several threads
        network: Network = build(
            context.model, context.shapes, context.n_classes, context.adapter, context.fold.draws, context.precision
        )
    for module in network.modules():
        if case.plain and isinstance(module, nn.Dropout):
            module.p = 0.0
    if case.double:
        doubled = {name: values.astype(np.float64) for name, values in signals.values.items()}
        network, signals = network.double(), Signals(doubled)
    batches: list[list[int]] = []
    with one_thread():
        try:
            done = train(
                network, signals, context.fold.y, case.stage, context.fold.draws, torch.device("cpu"),
                on_batch=lambda rows: batches.append(rows.tolist()), group=group, people=case.windows.index.participant_index,
            )  # fmt: skip
        except TrainingError as error:
            return {"error": str(error)}
    state = {name: value.numpy().copy() for name, value in network.state_dict().items()}
    return {"state": state, "curve": done.curve, "best_epoch": done.best_epoch, "steps": done.steps, "batches": batches}


def worker(rank: int, size: int, cases: dict[str, Case], out: str) -> None:
    """One of ``size`` processes on gloo, met through a file; workers that do not do the same end with an error after a minute."""
    wait = timedelta(minutes=1)
    distributed.init_process_group("gloo", init_method=f"file://{out}/meeting", rank=rank, world_size=size, timeout=wait)
    found = {name: trained(case, WorkerGroup(rank, size)) for name, case in cases.items()}
    Path(out, f"{rank}.pickle").write_bytes(pickle.dumps(found))
    distributed.destroy_process_group()
