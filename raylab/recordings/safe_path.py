"""Paths inside the root folder of a dataset."""

from pathlib import Path

from raylab.errors import RecordingError
from raylab.files import within
from raylab.names import nfc


def safe_path(root: Path, relative: str, participant: str | None = None) -> Path:
    """The existing file or folder ``root/relative``.

    Raises:
        RecordingError: if it is missing, or leaves the root by ``..`` or by a link.
    """
    try:
        path = Path(within(root, _as_stored(root, relative)))
    except ValueError as error:
        raise RecordingError(
            str(error), file=root / relative, participant=participant, remedy="put the data itself into the folder"
        ) from error
    if not path.exists():
        raise RecordingError(
            "is missing",
            file=path,
            participant=participant,
            remedy="check --root against the layout that `raylab datasets` describes, or leave the participant out with --exclude",
        )
    return path


def _as_stored(root: Path, relative: str) -> str:
    """The path as the file system has it: a part that it does not have may be there in another Unicode form (``ü`` as one character or two)."""
    if relative.isascii() or Path(relative).is_absolute() or ".." in Path(relative).parts:
        return relative
    place, parts = root, []
    for part in Path(relative).parts:
        if not (place / part).exists() and place.is_dir():
            part = next((path.name for path in place.iterdir() if nfc(path.name) == nfc(part)), part)  # noqa: PLW2901  the same part
        place = place / part
        parts.append(part)
    return "/".join(parts)
