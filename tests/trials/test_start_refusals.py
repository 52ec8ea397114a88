"""What a start refuses before any work: missing windows, and a run folder that cannot be written."""

from pathlib import Path

import pytest
from builders.running import quiet
from builders.studies import small, study

from raylab.errors import RaylabError, StudyError
from raylab.runs.folder import RunFolder
from raylab.runs.run import start
from raylab.trials.study import parse_study


def test_where_windows_are_missing_the_option_is_named(tmp_path: Path) -> None:
    """The command that prepares them, and --windows with the folder that was looked in; both datasets are named."""
    datasets = [{"windows": name, "label": "stress"} for name in ("one", "two")]
    with pytest.raises(StudyError) as refused:
        start(parse_study(study(datasets=datasets), "s"), str(tmp_path), str(tmp_path / "run"), "local", log=quiet)
    assert 2 == len(refused.value.problems)
    for name, problem in zip(("one", "two"), refused.value.problems, strict=True):
        assert f"{tmp_path}/{name} holds no prepared windows" in problem
        assert f"if the windows are in another folder than {tmp_path}, give it with --windows" in problem
    assert not (tmp_path / "run").exists()


def test_an_output_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path) -> None:
    """A file stands in its place, or in the place of a folder above it; not even the windows are looked for."""
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "deep" / "run"):
        with pytest.raises(
            RaylabError, match=rf"the run folder {out} cannot be written \({tmp_path}/file is no folder\).*--out"
        ):
            start(small(), str(tmp_path / "nowhere"), str(out), "local", log=quiet)


def test_a_folder_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a user who is not root."""
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(RaylabError, match=rf"cannot be written \(no permission to write in {tmp_path}\)"):
        RunFolder(str(tmp_path / "run")).require_writable()


def test_what_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    """The check makes no folder that stays."""
    RunFolder(str(tmp_path / "a" / "run")).require_writable()
    RunFolder(str(tmp_path)).require_writable()
    assert [] == list(tmp_path.iterdir())
