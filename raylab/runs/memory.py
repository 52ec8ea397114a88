"""How much of a GPU a trial gets: `gpu: auto` from the memory that a training needs, and a cap so that none takes another's."""

import contextlib
import math
from collections.abc import Iterator

import torch

STEPS = 8  # shares are eighths: a card then holds a whole number of trials, or one less than would just fit
HEADROOM = 1.2  # what the allocator fragments over hundreds of epochs was not seen in one step


def share_of_gpu(peak_bytes: int, card_bytes: int) -> float:
    """The smallest share of a card, in eighths, that holds the measured peak with some room; a whole card where no share does.

    >>> share_of_gpu(2**30, 16 * 2**30)
    0.125
    """
    if peak_bytes <= 0 or card_bytes <= 0:
        raise ValueError(f"a peak of {peak_bytes} bytes on a card of {card_bytes}: both are above 0")
    return min(1.0, math.ceil(peak_bytes * HEADROOM / card_bytes * STEPS) / STEPS)


@contextlib.contextmanager
def capped(share: float) -> Iterator[None]:
    """This process takes at most this share of its card's memory, and gives it back at the end; nothing happens for 0.

    A trial that wants more fails with torch's own sentence, and the others on the card go on. Untested: no GPU was at hand.
    """
    if not share:
        yield
        return
    torch.cuda.set_per_process_memory_fraction(min(1.0, share))
    try:
        yield
    finally:
        torch.cuda.empty_cache()  # a reused actor keeps its memory otherwise (ray#32698)
