"""What single channels tell: kept by a run, shown by its report beside the models, and printed by `raylab probe channels`."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from builders.command_line import run_command
from builders.drift import drifting
from builders.running import quiet
from builders.windows import store

import analysis
from analysis.report.parts.channels import CHANNELS
from analysis.report.write import write_report
from analysis.scores.channel_scores import channel_sentences
from raylab.runs.channel_scores import SCHEMA, channel_scores
from raylab.runs.run import start
from raylab.trials.plan import check_datasets
from raylab.trials.study import Study, parse_study
from raylab.windows.dataset import Windows


def study(name: str = "made") -> Study:
    return parse_study(
        {
            "name": "channels",
            "datasets": [{"windows": name, "label": "stress", "participants": ["P00", "P01", "P02", "P03"]}],
            "models": [{"encoder": "lda"}],
            "techniques": ["non_personalized"],
        },
        "test",
    )


def means(windows: Windows) -> dict[str, float]:
    """Mean AUROC of each row over the people."""
    frame = channel_scores(check_datasets(study(), {"made": windows.index})).to_pandas()
    assert 12 == frame["participant"].nunique()
    return frame.groupby("model")["auroc"].mean().to_dict()


def test_a_channel_that_tells_all_is_found_alone() -> None:
    """Emotion is in channel a alone: its mean, and a only, are at the level of both channels; b is at chance."""
    found = means(drifting(4.0, 0.0, True, 0))

    assert {"all channels", "mean of a", "a only", "mean of b", "b only"} == set(found)
    assert min(found["all channels"], found["mean of a"], found["a only"]) > 0.95
    assert max(abs(found[name] - 0.5) for name in ("mean of b", "b only")) < 0.15


def test_a_report_says_what_a_channel_does_without_training(tmp_path: Path) -> None:
    """Near the best model of the table, on the people who were tested there."""
    store(drifting(6.0, 0.0, True, 0), tmp_path / "made")
    run = tmp_path / "run"
    start(study(), str(tmp_path), str(run), "local", log=quiet)
    write_report(str(run))

    stored = pq.read_table(run / "channel_scores.parquet")
    assert SCHEMA == stored.schema and len(stored) == len(analysis.load(run).channel_scores) == 12 * 5
    page = " ".join((run / "report" / "report.html").read_text(encoding="utf-8").split())
    assert "The mean of a, without any training, reaches" in page
    assert "near the best of this run (lda, non_personalized" in page
    assert (run / "report" / f"{CHANNELS.name}.csv").exists()


def test_a_channel_that_follows_the_order_is_named() -> None:
    """Drift alone, in either order: the channel tells the classes apart in opposite directions for different people."""
    frame = channel_scores(check_datasets(study(), {"made": drifting(0.0, 20.0, True, 0).index})).to_pandas()
    assert "mean of a (6 and 6)" in " ".join(channel_sentences(frame, 0.5, "the best"))
    assert "near" not in " ".join(channel_sentences(frame, 0.9, "the best"))


def test_windows_with_one_class_and_many_statistics_have_no_linear_rows() -> None:
    """A person of one class has no score, and what would take minutes at a run's start is left out."""
    windows = drifting(2.0, 0.0, True, 0)
    y = windows.index.labels["stress"]
    y[windows.index.participant_index == 0] = 1
    frame = channel_scores(check_datasets(study(), {"made": windows.index})).to_pandas()
    assert "P00" not in set(frame["participant"]) and not frame["auroc"].isna().any()
    windows.index.statistics["a"] = np.repeat(windows.index.statistics["a"], 50, axis=1)
    frame = channel_scores(check_datasets(study(), {"made": windows.index})).to_pandas()
    assert {"mean of a", "mean of b"} == set(frame["model"])


def test_the_probe_prints_the_channels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each alone and each left out, without the clock; it writes nothing, and other probes have no label."""
    windows = store(drifting(0.0, 20.0, True, 0), tmp_path / "made")

    assert 0 == run_command(monkeypatch, "probe", "channels", str(windows), "--label", "stress")
    printed = " ".join(capsys.readouterr().out.split())
    assert "mean of a" in printed and "b only" in printed and "mean of a (6 and 6)" in printed and "clock" not in printed
    assert 1 == run_command(monkeypatch, "probe", "channels", str(windows), "--out", str(tmp_path / "x"))
    assert "channels takes --label only" in capsys.readouterr().err
    assert 1 == run_command(monkeypatch, "probe", "shuffled_labels", str(windows), "--label", "stress", "--out", "x")
    assert "--label belongs to channels" in capsys.readouterr().err
    assert 1 == run_command(monkeypatch, "probe", "channels", str(windows), "--label", "joy")
    assert "has no label joy; it has stress" in capsys.readouterr().err
