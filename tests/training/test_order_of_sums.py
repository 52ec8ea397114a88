"""``python -m benchmarks sums``: what it reverses is the order of the rows in a batch, and nothing else."""

import numpy as np
from builders.training import CPU, context_of, network_of, people, staged
from builders.windows import make_windows

from benchmarks.order_of_sums import Reversed
from raylab.training.batches import Signals
from raylab.training.gradient import Objective
from raylab.training.job import Job
from raylab.training.loop import known_classes


def test_a_reversed_order_has_the_same_batches() -> None:
    """Of 20 windows in batches of 8, the short last one too."""
    windows = make_windows({f"P{i}": [0] * 5 + [1] * 5 for i in range(1, 4)})
    context = context_of(windows)
    stage = staged(people(context, "P2", "P3"), batch_size=8)
    classes = known_classes(context.fold.y, stage)
    job = Job(network_of(context), Signals(windows.signals), classes, stage, context.fold.draws, CPU)
    plain, other = (kind(job).order(stage.stepped, np.random.default_rng(0)) for kind in (Objective, Reversed))

    batches = [slice(start, start + 8) for start in range(0, len(plain), 8)]
    assert [8, 8, 4] == [len(plain[batch]) for batch in batches]
    assert all(list(plain[batch]) == list(other[batch][::-1]) for batch in batches)
