"""``python -m benchmarks gpu``: a fold's optimizer step on one device, alone and in stacks of 1 to 64, as it is, with TF32, in bf16, as a CUDA graph.

Every way takes the same steps on the same windows (noise of WESAD wrist shapes) from the same weights; how far the weights are from those of the
plain way is printed with its time. On a machine without a GPU the device is ``cpu``: TF32 and graphs are left out there, and say so.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor
from torch.nn import functional as F

from benchmarks.results import append
from benchmarks.stacked_step import WRIST
from raylab.folds.seeding import FoldSeeds
from raylab.models.batch import Batch
from raylab.models.keras_defaults import ADAM_EPSILON
from raylab.models.network import ModelSpec, Network, build
from raylab.models.precision import FLOAT32, Precision, float32_products
from raylab.models.stacked import StackedNetwork

CLASSES = 2
WARM_UP, COUNTED = 3, 20  # steps; a graph is captured after the first ones
ON_CUDA = ("tf32", "graph", "graph bf16")
WAYS = ("plain", "bf16", *ON_CUDA)
ALONE = "alone"  # an ordinary network, no stack of one
SIZES = "1,2,4,8,16,32,64"


def _windows(member: int, batch: int) -> tuple[dict[str, Tensor], Tensor]:
    """A member's batch, the same in stacks of all sizes: values (batch, length, 1) of each channel, and classes (batch,)."""
    draws = torch.Generator().manual_seed(member)
    values = {name: torch.randn(batch, n, 1, generator=draws) for name, n in WRIST.items()}
    return values, torch.randint(0, CLASSES, (batch,), generator=draws)


class Stepper:
    """K networks that step together on one batch, of which each has its own rows; or one that is in no stack.

    Args:
        networks: are not changed.
        alone: whether the first of them is in no stack.
    """

    def __init__(
        self, networks: list[Network], batch: int, device: torch.device, alone: bool, precision: Precision = FLOAT32
    ) -> None:
        generators = [torch.Generator(device).manual_seed(k) for k in range(len(networks))]
        self.members, self.alone = len(networks), alone
        copies = [deepcopy(network).to(device) for network in networks]
        for network in copies:
            network.precision = precision
        self.network = copies[0] if alone else StackedNetwork(copies, generators).network
        parameters = self.network.set_trainable(("trunk", "head"))
        on_cuda = device.type == "cuda"
        self.optimizer = torch.optim.Adam(parameters, lr=1e-3, eps=ADAM_EPSILON, fused=True, capturable=on_cuda)
        values, classes = zip(*(_windows(k, batch) for k in range(self.members)), strict=True)
        in_turn = {name: torch.stack([own[name] for own in values], dim=1).flatten(0, 1) for name in WRIST}
        self.batch = Batch({name: x.to(device) for name, x in in_turn.items()}, {})
        self.y = torch.stack(classes, dim=1).flatten().to(device)

    def step(self) -> None:
        """Forward, backward and Adam; to be called inside ``float32_products``."""
        self.optimizer.zero_grad(set_to_none=False)  # a graph needs gradients to stay where they are
        losses = F.cross_entropy(self.network(self.batch), self.y, reduction="none")
        losses.view(-1, self.members).mean(dim=0).sum().backward()  # type: ignore[no-untyped-call]  # torch has no types for it
        self.optimizer.step()

    def weights(self) -> dict[str, Tensor]:
        """Weights of every member after the steps, on the processor; without convolutions' biases, which batch norm makes meaningless."""
        state = self.network.state_of(("trunk", "head"))
        names = [name for name in state if not name.endswith(("conv.bias", "running_mean", "num_batches_tracked"))]
        return {name: state[name][None].clone() if self.alone else state[name].clone() for name in names}


def _captured(step: Callable[[], None]) -> Callable[[], None]:
    """The step as a CUDA graph: recorded once, replayed by one launch."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def _run(networks: list[Network], way: str, batch: int, device: torch.device) -> tuple[float, dict[str, Tensor]]:
    """Milliseconds of a fold's step (of a GPU by the clock, of a processor in its own time), and the weights after all steps."""
    precision: Precision = "bf16" if "bf16" in way else "tf32" if way == "tf32" else FLOAT32
    stack = Stepper(networks, batch, device, way == ALONE, precision)
    clock = time.perf_counter if device.type == "cuda" else time.process_time

    with float32_products(precision):
        side = torch.cuda.Stream() if device.type == "cuda" else None  # type: ignore[no-untyped-call]  # as above
        with torch.cuda.stream(side) if side else nullcontext():
            for _ in range(WARM_UP):
                stack.step()
        wait(device)
        # What is captured is not computed then, so all ways take equally many steps.
        counted = _captured(stack.step) if way.startswith("graph") else stack.step
        began = clock()
        for _ in range(COUNTED):
            counted()
        wait(device)
        seconds = clock() - began
    return seconds * 1e3 / COUNTED / stack.members, stack.weights()


def wait(device: torch.device) -> None:
    """Until a GPU has computed what it was given; a processor has."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def _apart(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest difference of any weight of the members that both have."""
    both = min(len(next(iter(weights.values()))) for weights in (one, other))
    return max(float((one[name][:both].double() - other[name][:both].double()).abs().max()) for name in one)


def gpu(
    encoder: Annotated[str, typer.Option(help="several, separated by commas")] = "fcn",
    width: Annotated[str, typer.Option(help="several, separated by commas")] = "0.125,1",
    members: Annotated[str, typer.Option(help="folds in a stack; several, separated by commas")] = SIZES,
    batch: int = 4,
    minutes: Annotated[float, typer.Option(help="what is not begun by then is left out, and named")] = 8,
    device: Annotated[str, typer.Option(help="torch's name; empty: a GPU if there is one")] = "",
    results: Annotated[Path, typer.Option(help="a line is added for each case")] = Path("build/benchmarks.jsonl"),
) -> None:
    """A fold's step on one device by ways and sizes of stacks, and how far its weights are from those of the plain way and of a fold alone."""
    where, end = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")), time.monotonic() + 60 * minutes
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else "processor"
    ways = [way for way in WAYS if where.type == "cuda" or way not in ON_CUDA]
    typer.echo(f"{name}; {', '.join(ways)}" + ("" if len(ways) == len(WAYS) else f" ({', '.join(ON_CUDA)} need a GPU)"))
    torch.set_num_threads(1)
    for model in (ModelSpec(e, "late", float(w)) for e in encoder.split(",") for w in width.split(",")):
        shapes = {channel: (n, 1) for channel, n in WRIST.items()}
        sizes = [int(size) for size in members.split(",")]
        seeds = [FoldSeeds(k, "made", "stress", "P") for k in range(max(sizes))]
        networks = [build(model, shapes, CLASSES, False, draws) for draws in seeds]
        alone: dict[str, Tensor] = {}
        for size in [0, *sizes]:  # 0: the first fold, in no stack
            plain: dict[str, Tensor] = {}
            for way in ways if size else [ALONE]:
                case = {"encoder": model.name, "members": size, "way": way, "batch": batch, "device": name}
                if time.monotonic() > end:
                    typer.echo(f"no time for {case}")
                    continue
                ms, weights = _run(networks[: max(size, 1)], way, batch, where)
                alone, plain = alone or weights, plain or weights
                apart = {"from_plain": _apart(weights, plain), "from_alone": _apart(weights, alone)}
                append(results, "gpu", case, {"ms": ms, **apart})
