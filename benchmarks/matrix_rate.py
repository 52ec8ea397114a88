"""``python -m benchmarks rate``: what share of the matrix rate of a processor or GPU a training step reaches.

Operations of a step are those of convolutions and products, forward and backward, as torch's ``FlopCounterMode`` counts them in raylab's own training
loop. The matrix rate is that of one product of two square matrices, computed in turns with the steps in one process, in the same precision: both
see the same load of the machine. Time is the process's own on a processor, the clock's on a GPU.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.cluster_model.gpu_steps import count_flops
from benchmarks.gpu import CLASSES, Stepper, wait
from benchmarks.results import append
from benchmarks.stacked_step import WRIST, precisions_of
from raylab.folds.seeding import FoldSeeds
from raylab.models.network import ModelSpec, build
from raylab.models.precision import Precision, float32_products
from raylab.trials.run_trial import one_thread

SIDE = 1536  # of the matrices: large enough that a product reaches the machine's rate, small enough to take a tenth of a second
PRODUCTS = 3  # in a turn, of which the quickest counts
LEAST_S = 0.3  # of steps in a turn: the clock of a process ticks in milliseconds on some machines


def _seconds(compute: Callable[[], object], times: int, device: torch.device) -> float:
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    wait(device)
    began = clock()
    for _ in range(times):
        compute()
    wait(device)
    return clock() - began


def matrix_rate(precision: Precision, device: torch.device) -> float:
    """Operations in a second of the quickest of a few products of square matrices; to be called inside ``float32_products``."""
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    one, other = (torch.randn(SIDE, SIDE, device=device).to(kind) for _ in range(2))
    return 2 * SIDE**3 / min(_seconds(lambda: one @ other, 1, device) for _ in range(PRODUCTS))


def operations_of(spec: ModelSpec, members: int, batch: int) -> float:
    """Operations of a step of all members: their number does not depend on how they are computed."""
    return count_flops(tuple(WRIST.items()), spec, ("trunk", "head")) * batch * members


def measure(
    spec: ModelSpec, members: int, batch: int, repeats: int, device: torch.device, precision: Precision
) -> dict[str, float]:
    """Rates of the steps and of the product, in operations per second, and the share of each pair.

    Args:
        members: folds in a stack; 0: one that is in none.

    Returns:
        ``gflop`` of a step of all members; medians ``step_gflops`` and ``matrix_gflops``; ``share``, its median, and ``share_min``, ``share_max``.
    """
    operations = operations_of(spec, max(members, 1), batch)
    shapes = {channel: (n, 1) for channel, n in WRIST.items()}
    draws = [FoldSeeds(k, "made", "stress", "P") for k in range(max(members, 1))]
    networks = [build(spec, shapes, CLASSES, False, own) for own in draws]
    steps, products = [], []
    with one_thread(), float32_products(precision):
        stepper = Stepper(networks, batch, device, members == 0, precision)
        stepper.step()  # the first allocates
        count = max(1, round(LEAST_S / max(_seconds(stepper.step, 1, device), 1e-4)))
        for _ in range(repeats):
            products.append(matrix_rate(precision, device))
            steps.append(operations * count / _seconds(stepper.step, count, device))
    shares = [own / whole for own, whole in zip(steps, products, strict=True)]
    return {
        "gflop": operations / 1e9,
        "step_gflops": statistics.median(steps) / 1e9,
        "matrix_gflops": statistics.median(products) / 1e9,
        "share": statistics.median(shares),
        "share_min": min(shares),
        "share_max": max(shares),
    }


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def rate(
    encoder: Annotated[str, typer.Option(help="several, separated by commas")] = "fcn,resnet,mlp_lstm",
    width: Annotated[str, typer.Option(help="several, separated by commas")] = "0.125,1",
    batch: Annotated[str, typer.Option(help="windows of a fold's step; several, separated by commas")] = "4,16",
    members: Annotated[str, typer.Option(help="folds in a stack, 0: in none; several, separated by commas")] = "0,8",
    precision: Annotated[str, typer.Option(help="several, separated by commas")] = "float32",
    repeats: int = 5,
    device: Annotated[str, typer.Option(help="torch's name; empty: a GPU if there is one")] = "",
    results: Annotated[Path, typer.Option(help="a line is added for each case")] = Path("build/benchmarks.jsonl"),
) -> None:
    """What share of the matrix rate a training step reaches, by models, sizes of batch and stack, and precision."""
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else "processor"
    specs = [ModelSpec(own, "late", float(factor)) for own in encoder.split(",") for factor in width.split(",")]
    for spec in specs:
        for size, count in ((size, count) for size in _numbers(batch) for count in _numbers(members)):
            for one in precisions_of(precision):
                case = {"encoder": spec.name, "batch": size, "members": count, "precision": one, "device": name}
                append(results, "rate", {**case, "repeats": repeats}, measure(spec, count, size, repeats, where, one))
