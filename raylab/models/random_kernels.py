"""MiniROCKET's features of a series: shares of positive values behind 84 fixed kernels, dilated and shifted.

Dempster, Schmidt and Webb 2021 (MiniRocket: a very fast (almost) deterministic transform for time series classification), section 3. The kernels
have 9 weights, three of them 2 and six -1, so that they sum to 0: a constant added to a series changes nothing but its edges. A feature is the
share of steps at which the convolution is above a bias, and biases are quantiles of the convolutions of training windows.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import numpy.typing as npt

Single = npt.NDArray[np.float32]
LENGTH = 9  # weights of a kernel
KERNELS = tuple(combinations(range(LENGTH), 3))  # where the weight is 2: 84 kernels
MAX_DILATIONS = 32
GOLDEN = (np.sqrt(5) + 1) / 2
BLOCK = 256  # windows at a time, so that their convolutions stay in the processor's cache


def dilations_of(n_steps: int, per_kernel: int) -> list[tuple[int, int]]:
    """Each dilation and how many of the ``per_kernel`` features of a kernel it gets.

    Dilations grow exponentially from 1 to the widest kernel that fits into ``n_steps``; equal ones are joined.
    """
    count = min(per_kernel, MAX_DILATIONS)
    grid = np.logspace(0, np.log2((n_steps - 1) / (LENGTH - 1)), count, base=2).astype(np.int32)
    dilations, repeats = np.unique(grid, return_counts=True)
    share = (repeats * (per_kernel / count)).astype(int)
    share[: per_kernel - share.sum()] += 1  # what rounding left over goes to the narrow kernels
    return list(zip(dilations.tolist(), share.tolist(), strict=True))


def _convolutions(x: Single, dilation: int) -> Iterator[Single]:
    """The windows (n, n_steps) behind each of the 84 kernels, with zeros beyond the edges.

    A kernel is -1 everywhere, plus 3 at three places: the nine shifted windows are made once, and each kernel adds up four arrays.
    """
    n_steps = x.shape[1]
    shifted = np.zeros((LENGTH, *x.shape), dtype=np.float32)
    for k in range(LENGTH):
        offset = (k - LENGTH // 2) * dilation
        to, of = slice(max(0, -offset), n_steps - max(0, offset)), slice(max(0, offset), n_steps - max(0, -offset))
        shifted[k, :, to] = x[:, of]
    everywhere = -shifted.sum(axis=0)
    shifted *= 3
    for one, two, three in KERNELS:
        yield everywhere + shifted[one] + shifted[two] + shifted[three]


def fit_biases(x: Single, per_kernel: int, rng: np.random.Generator) -> Single:
    """Biases (84 * per_kernel,): for each kernel and dilation, quantiles of its convolution of one training window drawn at random.

    The quantiles are those of the golden ratio's sequence, which is spread evenly however many are taken.

    Args:
        x: (n, n_steps) training windows.
    """
    biases, rank = [], 0
    for dilation, count in dilations_of(x.shape[1], per_kernel):
        drawn = rng.integers(len(x), size=len(KERNELS))
        for kernel, convolved in enumerate(_convolutions(x[drawn], dilation)):
            quantiles = (np.arange(rank + 1, rank + count + 1) * GOLDEN) % 1
            biases.append(np.quantile(convolved[kernel], quantiles))
            rank += count
    return np.asarray(np.concatenate(biases), dtype=np.float32)


def shares_above(x: Single, biases: Single, per_kernel: int) -> Single:
    """Features (n, 84 * per_kernel) of windows (n, n_steps): the share of steps at which a convolution is above a bias.

    Every second kernel and dilation counts only the steps at which the whole kernel lies within the window.
    """
    features = np.empty((len(x), len(biases)), dtype=np.float32)
    for first in range(0, len(x), BLOCK):
        rows, column = slice(first, first + BLOCK), 0
        for order, (dilation, count) in enumerate(dilations_of(x.shape[1], per_kernel)):
            margin = LENGTH // 2 * dilation
            for kernel, convolved in enumerate(_convolutions(x[rows], dilation)):
                counted = convolved[:, margin:-margin] if (order + kernel) % 2 else convolved
                for bias in biases[column : column + count]:  # one at a time: a third axis would leave the cache
                    features[rows, column] = (counted > bias).view(np.int8).sum(axis=1, dtype=np.int32) / counted.shape[1]
                    column += 1
    return features
