"""Paths inside the root of a dataset: none leads out of it."""

from pathlib import Path

import pytest

from raylab.errors import RecordingError
from raylab.recordings.safe_path import safe_path


@pytest.mark.parametrize(
    "relative", ["../outside.txt", "S2/../../outside.txt", "S2/..", "/etc/passwd", "link.txt", "linked/outside.txt"]
)
def test_paths_that_leave_the_root_are_refused(tmp_path: Path, relative: str) -> None:
    """Neither ``..``, an absolute path nor a link reaches outside the root, although the file exists there."""
    root = tmp_path / "root"
    (root / "S2").mkdir(parents=True)
    (tmp_path / "outside.txt").write_text("secret")
    (root / "link.txt").symlink_to(tmp_path / "outside.txt")
    (root / "linked").symlink_to(tmp_path)
    with pytest.raises(RecordingError, match=r"participant S2.*What to do: put the data itself into the folder"):
        safe_path(root, relative, "S2")


def test_link_inside_the_root_is_followed(tmp_path: Path) -> None:
    """A link that stays in the root is a file like others."""
    (tmp_path / "data.txt").write_text("fine")
    (tmp_path / "link.txt").symlink_to(tmp_path / "data.txt")
    assert safe_path(tmp_path, "link.txt").read_text() == "fine"


def test_missing_file_is_named(tmp_path: Path) -> None:
    """A missing file is named with its participant and two remedies."""
    with pytest.raises(RecordingError, match=r"participant S2, file .*S2\.pkl: is missing.*--root.*--exclude"):
        safe_path(tmp_path, "S2/S2.pkl", "S2")
