"""Hashes that identify stages, trials and data: canonical JSON for records, raw bytes for arrays (BLAKE2b)."""

import hashlib
import json
from typing import Any

import numpy as np
import numpy.typing as npt

# One encoder for all records: json.dumps would make one for each.
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


HEX_DIGITS = 20  # 80 bits


def hash_record(record: Any, length: int = HEX_DIGITS) -> str:
    """Hex digest of a record of plain JSON values. The order of keys does not matter; 1 and 1.0 differ.

    Args:
        length: hexadecimal digits; 20 are 80 bits.

    Raises:
        ValueError: if a value is NaN or infinite.
    """
    return hashlib.blake2b(_canonical(record).encode(), digest_size=32).hexdigest()[:length]


def begun_hash(dtype: np.dtype[Any], shape: tuple[int, ...]) -> hashlib.blake2b:
    """The hash of an array of this type and shape before its bytes: ``hash_array``, in steps."""
    return hashlib.blake2b(f"{dtype.str}{shape}".encode(), digest_size=32)


def hash_array(array: npt.NDArray[Any], length: int = HEX_DIGITS) -> str:
    """Hex digest of the type, shape and bytes of an array, whatever its layout in memory.

    Args:
        length: hexadecimal digits; 20 are 80 bits.
    """
    digest = begun_hash(array.dtype, array.shape)
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()[:length]
