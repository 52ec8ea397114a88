"""What of a dataset is in a folder."""

from pathlib import Path

from raylab.errors import RaylabError
from raylab.recordings.recording import Dataset


def availability(dataset: Dataset, root: Path) -> str:
    """One line: who is there, who is missing by name. Looks in ``root/NAME`` where that exists, else in ``root`` itself."""
    where = root / dataset.name if (root / dataset.name).is_dir() else root
    try:
        found = dataset.at(where).participants(where, dataset.options)
    except (RaylabError, OSError) as error:
        return f"not in {where}: {error}"
    missing = [name for name in dataset.published if name not in found]
    text = f"in {where}: {len(found)} participants"
    return text + (
        f", missing {', '.join(missing)}"
        if missing
        else ", complete"
        if dataset.published
        else f" ({', '.join(found[:5])}, ...)"
    )
