"""Share of a GPU for each trial: `gpu: auto` from the memory that a training needs, and a cap so that no trial takes another's memory.

Code that needs a real card is untested: no GPU was at hand. Tests cover the arithmetic, and that on simulated GPUs, which torch does not
see, each trial gets the stated share.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import ray
import torch

from raylab.models.build import build_model
from raylab.models.registry import CLASSICAL_MODELS
from raylab.plugins import Plugin, enter_same, entered
from raylab.runs.cluster import SHARE_OF_A_GPU, max_resources
from raylab.runs.ray_errors import remote_result
from raylab.runs.shared_windows import SharedWindows, opened
from raylab.runs.streamed_windows import StreamedSource
from raylab.training.batches import Signals
from raylab.training.job import Job
from raylab.training.loop import EVALUATION_BATCH, known_classes, predict, train
from raylab.training.stacked import train_copies
from raylab.trials.plan import stages_of
from raylab.trials.resources import Resources
from raylab.trials.run_trial import one_thread
from raylab.trials.stacks import composition_sizes
from raylab.trials.trial import Trial
from raylab.windows.dataset import Windows

SHARES_OF_A_CARD = 8  # shares are eighths
HEADROOM = 1.2  # the allocator fragments memory over hundreds of epochs, and the measurement sees one


def share_of_gpu(peak_bytes: int, card_bytes: int) -> float:
    """The smallest share of a card, in eighths, that holds the measured peak with some room; a whole card if no share does.

    >>> share_of_gpu(2**30, 16 * 2**30)
    0.125
    """
    if peak_bytes <= 0 or card_bytes <= 0:
        raise ValueError(f"a peak of {peak_bytes} bytes on a card of {card_bytes}: both are above 0")
    return min(1.0, math.ceil(peak_bytes * HEADROOM / card_bytes * SHARES_OF_A_CARD) / SHARES_OF_A_CARD)


@contextlib.contextmanager
def limit_gpu_memory(share: float) -> Iterator[None]:
    """Limit this process to a share of its card's memory, and free the memory at the end; a share of 0 sets no limit.

    A trial that needs more fails with torch's own message, and the other trials on the card go on.
    """
    if not share:
        yield
        return
    torch.cuda.set_per_process_memory_fraction(min(1.0, share))
    try:
        yield
    finally:
        torch.cuda.empty_cache()  # a reused actor keeps its memory otherwise (ray#32698)


def peak_of(trial: Trial, windows: Windows, members: int = 1, plugins: tuple[Plugin, ...] = ()) -> tuple[int, int] | None:
    """Memory of a card that the trial takes, and the card's memory, in bytes; None if torch sees no GPU.

    The card's loss of free memory is measured, because it includes what torch's own peak does not: the context of the process (hundreds of MB) and
    the memory that the allocator keeps.

    Args:
        members: of the largest stack that the trial's stages are in; 1: it trains alone.
    """
    if not torch.cuda.is_available():
        return None
    enter_same(plugins)
    step_of(trial, windows, members, torch.device("cuda"))
    free, total = torch.cuda.mem_get_info()
    return total - free, total


def step_of(trial: Trial, windows: Windows, members: int, device: torch.device) -> None:
    """One epoch of one batch of the first stage, which trains all parts, alone or beside copies of itself, and one batch of predictions."""
    context, stages = stages_of(trial, windows.index)
    signals = Signals(windows.signals, windows.lengths).channels(trial.channels)
    rows = signals.longest_first(stages[0].train)
    size = max(stage.hyper.batch(len(stage.train)) for stage in stages)
    short = replace(stages[0].hyper, epochs=1, batch_size=size, batch_share=1.0)
    step = replace(stages[0], train=rows[:size], validation=rows[:EVALUATION_BATCH], hyper=short, weights=None)
    network = build_model(
        context.model, context.shapes, context.n_classes, context.adapter, context.fold.draws, context.precision
    ).to(device)
    with one_thread():  # as a trial does: deterministic algorithms take other memory
        if members > 1:
            train_copies(Job(network, signals, known_classes(context.fold.y, step), step, context.fold.draws, device), members)
        else:
            train(network, signals, context.fold.y, step, context.fold.draws, device)
        predict(network, signals, rows[:EVALUATION_BATCH], device)


def _peak_on_worker(
    trial: Trial, members: int, windows: SharedWindows | StreamedSource, plugins: tuple[Plugin, ...]
) -> tuple[int, int] | None:
    return peak_of(trial, opened(windows), members, plugins)


def resolve_gpu_share(
    resources: Resources, trials: list[Trial], windows: Mapping[str, Any], log: Callable[[str], None]
) -> Resources:
    """Replace ``gpu: auto`` by the largest share that a model of the run needs, if the connected cluster has or can start GPUs.

    Each model on each dataset is measured once before the first trial, alone on a card, in the largest stack that the study has of it.

    Args:
        windows: by the path of each dataset's windows, their reference in the object store.
        log: called with a line that says the share and its origin.
    """
    if resources.gpu != "auto" or not max_resources().get("GPU"):
        return resources
    sizes = composition_sizes(trials)
    distinct: dict[tuple[Any, ...], tuple[int, Trial]] = {}
    for trial in trials:
        if not trial.problem and trial.model.encoder not in CLASSICAL_MODELS:
            members = max((sizes[composition] for composition in trial.stacks if composition), default=1)
            what = (trial.model, trial.windows, trial.channels)
            if members > distinct.get(what, (0, trial))[0]:
                distinct[what] = members, trial
    if not distinct:
        return resources.model_copy(update={"gpu": 0})  # classical models stay on the processor
    measure = ray.remote(num_cpus=resources.cpu, num_gpus=1, max_calls=1)(_peak_on_worker)
    references = [measure.remote(trial, members, windows[trial.windows], entered()) for members, trial in distinct.values()]
    results = remote_result(references, "the measurement of the memory that the models need on a GPU")
    peaks = [peak for peak in results if peak]
    share = max((share_of_gpu(*peak) for peak in peaks), default=SHARE_OF_A_GPU)
    if peaks:
        need = max(peak[0] for peak in peaks) / 2**30
        log(f"gpu: auto: the largest model needs {need:.1f} GiB, each trial gets {share:g} of a GPU")
    else:
        log(f"gpu: auto: torch sees no GPU where Ray counts some, nothing can be measured; each trial gets {share:g} of a GPU")
    return resources.model_copy(update={"gpu": share})
