"""How much of a GPU a trial gets: `gpu: auto` from the memory that a training needs, and a cap so that none takes another's.

What needs a real card is untested: no GPU was at hand. Tested are the arithmetic, and that simulated GPUs, which torch does not see, get the
stated share.
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
from raylab.runs.cluster import SHARE_OF_A_GPU, max_resources
from raylab.training.batches import Signals
from raylab.training.loop import EVALUATION_BATCH, predict, train
from raylab.trials.plan import stages_of
from raylab.trials.run_trial import one_thread
from raylab.trials.study import Resources
from raylab.trials.trial import Trial
from raylab.windows.dataset import Windows

STEPS = 8  # shares are eighths of a card
HEADROOM = 1.2  # what the allocator fragments over hundreds of epochs was not seen in one


def share_of_gpu(peak_bytes: int, card_bytes: int) -> float:
    """The smallest share of a card, in eighths, that holds the measured peak with some room; a whole card where no share does.

    >>> share_of_gpu(2**30, 16 * 2**30)
    0.125
    """
    if peak_bytes <= 0 or card_bytes <= 0:
        raise ValueError(f"a peak of {peak_bytes} bytes on a card of {card_bytes}: both are above 0")
    return min(1.0, math.ceil(peak_bytes * HEADROOM / card_bytes * STEPS) / STEPS)


@contextlib.contextmanager
def limit_gpu_memory(share: float) -> Iterator[None]:
    """This process takes at most this share of its card's memory, and gives it back at the end; nothing happens for 0.

    A trial that wants more fails with torch's own sentence, and the others on the card go on.
    """
    if not share:
        yield
        return
    torch.cuda.set_per_process_memory_fraction(min(1.0, share))
    try:
        yield
    finally:
        torch.cuda.empty_cache()  # a reused actor keeps its memory otherwise (ray#32698)


def peak_of(trial: Trial, windows: Windows) -> tuple[int, int] | None:
    """Bytes that a card lost to one epoch of one batch of the trial's first stage (which frees everything) and to one batch of
    predictions, and the card's bytes; None where torch sees no GPU.

    What the card lost counts what torch's own peak does not: the context of the process (hundreds of MB) and what its allocator keeps.
    """
    if not torch.cuda.is_available():
        return None
    card = torch.device("cuda")
    subject, stages = stages_of(trial, windows.index)
    signals = Signals(windows.signals, windows.lengths).channels(trial.channels)
    rows = signals.longest_first(stages[0].train)
    size = max(stage.hyper.batch(len(stage.train)) for stage in stages)
    short = replace(stages[0].hyper, epochs=1, batch_size=size, batch_share=1.0)
    step = replace(stages[0], train=rows[:size], validation=rows[:EVALUATION_BATCH], hyper=short)
    network = build_model(subject.model, subject.shapes, subject.n_classes, subject.adapter, subject.fold.draws).to(card)
    with one_thread():  # as a trial does: deterministic algorithms take other memory
        train(network, signals, subject.fold.y, step, subject.fold.draws, card)
        predict(network, signals, rows[:EVALUATION_BATCH], card)
    free, total = torch.cuda.mem_get_info()
    return total - free, total


def resolve_gpu_share(
    resources: Resources, trials: list[Trial], windows: Mapping[str, Any], say: Callable[[str], None]
) -> Resources:
    """``gpu: auto`` as a number where the connected cluster has or can start GPUs: the largest share that a model of the run needs.

    Each model on each dataset is measured once, alone on a card, before the first trial.

    Args:
        windows: path of each dataset's windows to their reference in the object store.
        say: is told the share and where it comes from.
    """
    if resources.gpu != "auto" or not max_resources().get("GPU"):
        return resources
    distinct = {
        (t.model, t.windows, t.channels): t for t in trials if not t.problem and t.model.encoder not in CLASSICAL_MODELS
    }
    if not distinct:
        return resources.model_copy(update={"gpu": 0})  # baselines stay on the processor
    measure = ray.remote(num_cpus=resources.cpu, num_gpus=1, max_calls=1)(peak_of)
    found = ray.get([measure.remote(trial, windows[trial.windows]) for trial in distinct.values()])
    seen = [peak for peak in found if peak]
    share = max((share_of_gpu(*peak) for peak in seen), default=SHARE_OF_A_GPU)
    if seen:
        need = max(peak[0] for peak in seen) / 2**30
        say(f"gpu: auto: the largest model needs {need:.1f} GiB, each trial gets {share:g} of a GPU")
    else:
        say(f"gpu: auto: torch sees no GPU where Ray counts some, nothing can be measured; each trial gets {share:g} of a GPU")
    return resources.model_copy(update={"gpu": share})
