"""One way to hash: canonical JSON for records, raw bytes for arrays."""

import hashlib
import json
from typing import Any

import numpy as np
import numpy.typing as npt


def hash_record(record: Any, length: int = 20) -> str:
    """Hex digest of a JSON-able record; key order does not matter, ints and floats differ."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()[:length]


def hash_array(array: npt.NDArray[Any], length: int = 20) -> str:
    """Hex digest of an array's dtype, shape and bytes."""
    digest = hashlib.blake2b(f"{array.dtype.str}{array.shape}".encode(), digest_size=32)
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:length]
