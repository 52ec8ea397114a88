"""What an optimizer step asks of a GPU: kernels to launch and operations, counted in raylab's own training loops on the processor.

Counted are the operators that PyTorch dispatches in an epoch, without views and allocations; on a GPU each is one launch or more (an LSTM is counted
step by step, fused Adam as one). Operations are those of convolutions and products.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.stacked_step import jobs_of
from raylab.models.network import ModelSpec
from raylab.training.job import CPU, Job
from raylab.training.loop import train
from raylab.training.stacked import train_stack

Parts = tuple[str, ...]  # of a network: trunk, head
Channels = tuple[tuple[str, int], ...]  # name, samples of a window
FREE = ("empty", "new_empty", "detach", "as_strided", "_unsafe_view")  # allocations and views
STEPS, BATCH = 2, 4  # of the epoch that is counted
SHORT, NARROW = 32, 1 / 32


class _Launches(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types for it
    """Counts operators that do work."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not (func.is_view or func.overloadpacket.__name__.startswith(FREE))
        return func(*args, **(kwargs or {}))


@cache
def count_launches(n_channels: int, encoder: str, fusion: str, frees: Parts, stack: int) -> float:
    """Kernels of a fold's step, counted on short windows and few maps: neither their length nor the width changes the operators."""
    mode, channels = _Launches(), {f"channel {k}": SHORT for k in range(n_channels)}
    with mode:
        jobs = jobs_of(ModelSpec(encoder, fusion, NARROW), stack, BATCH, STEPS, frees, channels)
        count = _second_epoch(jobs, lambda: mode.count)
    return count / STEPS / stack


@cache
def count_flops(channels: Channels, model: ModelSpec, frees: Parts) -> float:
    """Operations of a step for each window of its batch. A stack's are those of its members: the counter takes a convolution of groups twice."""
    if "trunk" not in frees:  # the trunk's features are computed once, before the first epoch
        channels = tuple((name, SHORT) for name, _ in channels)
    mode = FlopCounterMode(display=False)
    with mode:
        count = _second_epoch(jobs_of(model, 1, BATCH, STEPS, frees, dict(channels)), mode.get_total_flops)
    return count / STEPS / BATCH


def _second_epoch(jobs: list[Job], counted: Callable[[], int]) -> int:
    """How far the count goes in the second epoch, so that nothing is set up in it."""
    ends: list[int] = []
    first = replace(jobs[0], on_epoch=lambda epoch: ends.append(counted()))
    before, torch.backends.mkldnn.enabled = torch.backends.mkldnn.enabled, False  # type: ignore[assignment]  # a property of the module
    try:  # its LSTM would be one operator without operations
        if len(jobs) > 1:
            train_stack([first, *jobs[1:]])
        else:
            classes = first.classes.astype("int8")
            train(first.network, first.signals, classes, first.stage, first.draws, CPU, on_epoch=first.on_epoch)
    finally:
        torch.backends.mkldnn.enabled = before
    return ends[1] - ends[0]
