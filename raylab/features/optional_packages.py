"""Optional packages: imported when they are used, with a message that says how to install them; files of weights are checked by hash."""

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from raylab.errors import RaylabError
from raylab.features import numba_cache

# fer requires tensorflow and an old torch, pipecat-ai a dozen packages, Resemblyzer one that has to be compiled; raylab reads their files of weights
# alone, so no extra can name them.
INSTALL = {
    "speech": "pip install 'raylab-affect[speech]'",
    "speech-embedding": "pip install 'raylab-affect[speech-embedding]' && pip install --no-deps pipecat-ai==1.14.0",
    "speech-voice": "pip install 'raylab-affect[speech]' && pip install --no-deps Resemblyzer==0.1.4",
    "speech-pretrained": "pip install 'raylab-affect[speech-pretrained]'",
    "devices": "pip install 'raylab-affect[devices]'",
    "live": "pip install 'raylab-affect[live]'",
    "vision": "pip install 'raylab-affect[vision]' && pip install --no-deps fer==25.10.3",
}
COMPILED = ("librosa",)  # their functions are compiled by numba, whose cache two first users would spoil


def load(module: str, extra: str) -> Any:
    """The module of an optional package.

    Raises:
        RaylabError: if it is not installed, with the command that installs it.
    """
    try:
        if module in COMPILED and module not in sys.modules:
            numba_cache.use()
        return importlib.import_module(module)
    except ImportError as error:
        raise RaylabError(f"{module} is not installed ({error}); run: {INSTALL[extra]}") from error


def file_of(package: str, relative: str, sha256: str, extra: str) -> Path:
    """The path of a file inside an installed package, without importing the package (which may need more than its file does).

    Raises:
        RaylabError: if the package or the file is absent, or the file's SHA-256 is not the pinned one.
    """
    package_spec = importlib.util.find_spec(package)
    if package_spec is None or not package_spec.submodule_search_locations:
        raise RaylabError(f"{package} is not installed; run: {INSTALL[extra]}")
    path = Path(package_spec.submodule_search_locations[0]) / relative
    if not path.is_file():
        raise RaylabError(f"{path} is missing; run: {INSTALL[extra]}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != sha256:
        raise RaylabError(
            f"{path} has the SHA-256 {digest[:12]}..., expected {sha256[:12]}...: these are not the weights that raylab was checked with; "
            f"run: {INSTALL[extra]}"
        )
    return path
