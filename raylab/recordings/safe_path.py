"""Paths inside the root folder of a dataset."""

from pathlib import Path

from raylab.errors import RecordingError
from raylab.files import within


def safe_path(root: Path, relative: str, participant: str | None = None) -> Path:
    """The existing file or folder ``root/relative``.

    Raises:
        RecordingError: if it is missing, or leaves the root by ``..`` or by a link.
    """
    try:
        path = Path(within(root, relative))
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
