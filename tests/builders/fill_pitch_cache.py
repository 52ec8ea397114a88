"""Fill a numba cache with what the pitch needs alone, as a child process of ``raylab.features.numba_cache``."""

import sys
from pathlib import Path

import numpy as np

from raylab.features import numba_cache
from raylab.features.acoustic import pitch

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    numba_cache.read_only(folder, filling=True)
    pitch(np.sin(2 * np.pi * 200 * np.arange(8000) / 16000), 160)
    numba_cache.seal(folder)
