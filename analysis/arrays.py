"""Types of arrays, each named once; the shape stands in the docstring of what takes it."""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Integers = npt.NDArray[np.integer]  # of any width: class numbers are stored in 8 bits
Probabilities = npt.NDArray[np.floating]  # of any width: stored in 32 bits
Indices = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]
NamedArrays = dict[str, npt.NDArray[Any]]
