"""Which participants of a dataset a folder holds."""

from pathlib import Path

from raylab.errors import RaylabError
from raylab.recordings.recording import Dataset


def availability(dataset: Dataset, root: Path) -> str:
    """One line: how many participants are present and which published ones are missing. Looks in ``root/NAME`` if it exists, else in ``root``."""
    folder = root / dataset.name if (root / dataset.name).is_dir() else root
    try:
        present = dataset.at(folder).participants(folder, dataset.options)
    except (RaylabError, OSError) as error:
        return f"not in {folder}: {error}"
    missing = [name for name in dataset.published if name not in present]
    text = f"in {folder}: {len(present)} participants"
    return text + (
        f", missing {', '.join(missing)}"
        if missing
        else ", complete"
        if dataset.published
        else f" ({', '.join(present[:5])}, ...)"
    )
