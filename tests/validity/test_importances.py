"""Permutation importances: the channel that tells is found, noise is not, and nothing is asked of the held-out participant."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from builders.command_line import run_command
from builders.drift import drifting
from builders.windows import store

from raylab.errors import RaylabError
from raylab.models.batch import Batch
from raylab.models.window_statistics import N_EXTENDED, column_names, extended_statistics
from raylab.validity.importances import importances


@pytest.mark.parametrize("model", ["lda", "rule", "random_forest"])
def test_the_channel_that_tells_is_first(model: str) -> None:
    """Of two channels one has the emotion: permuted as a whole, it takes most of what is above chance; the other takes nothing."""
    table = importances(drifting(emotion=3.0, drift=0.0, counterbalanced=True, seed=0, people=6), "stress", model)
    channels = table[table["kind"] == "channel"].set_index("input")
    assert list(channels.index) == ["a", "b"]
    assert channels.loc["a", "importance"] > 0.8 * (channels.loc["a", "reached"] - 0.5)
    assert abs(channels.loc["b", "importance"]) < 0.05
    assert channels.loc["a", "folds"] == 6
    assert set(table.loc[table["kind"] == "statistic", "input"].str.split(" ").str[0]) == {"a", "b"}


def test_without_a_signal_nothing_matters() -> None:
    table = importances(drifting(emotion=0.0, drift=0.0, counterbalanced=True, seed=1), "stress", "lda")
    assert table["importance"].abs().max() < 0.1


def test_equal_seeds_give_equal_tables() -> None:
    windows = drifting(emotion=1.0, drift=0.0, counterbalanced=True, seed=2, people=5)
    pd.testing.assert_frame_equal(importances(windows, "stress", "lda"), importances(windows, "stress", "lda"))


def test_names_are_those_of_the_columns() -> None:
    """A window of which every statistic is known: each name stands at its value."""
    x = torch.tensor([[0.0, 1.0, 3.0, 8.0]])[:, :, None]
    values = extended_statistics(Batch({"skin": x, "beat": torch.tensor([[[60.0, 20.0]]])}, {}), ["skin", "beat"])[0]
    names = column_names({"skin": (4, 1), "beat": (1, 2)}, {"beat": ("rate", "rmssd")}, N_EXTENDED)
    found = {f"{channel} {statistic}": value for (channel, statistic), value in zip(names, values, strict=True)}
    wanted = {
        "skin mean": 3.0,
        "skin SD": np.std([0, 1, 3, 8]),
        "skin 50% quantile": 2.0,
        "skin mean step": 8 / 3,
        "skin slope": np.polyfit(range(4), [0, 1, 3, 8], 1)[0],
        "skin range": 8.0,
        "beat rate": 60.0,
        "beat rmssd": 20.0,
    }
    assert {name: pytest.approx(value) for name, value in wanted.items()} == {name: found[name] for name in wanted}
    assert len(found) == len(values)


def test_other_inputs_are_refused() -> None:
    windows = drifting(emotion=1.0, drift=0.0, counterbalanced=True, seed=0, people=4)
    with pytest.raises(RaylabError, match="no statistics of windows"):
        importances(windows, "stress", "minirocket")
    with pytest.raises(RaylabError, match="prepare them with --features"):
        importances(windows, "stress", "lda", features=True)


def test_the_command_prints_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store(drifting(emotion=3.0, drift=0.0, counterbalanced=True, seed=0, people=5), tmp_path / "windows")
    arguments = ("importances", str(tmp_path / "windows"), "--label", "stress", "--out", str(tmp_path / "all.csv"))
    assert run_command(monkeypatch, *arguments) == 0
    printed = capsys.readouterr().out
    assert "Fall of the AUROC of validation people" in printed
    assert set(pd.read_csv(tmp_path / "all.csv")["kind"]) == {"channel", "statistic"}
    assert run_command(monkeypatch, "importances", str(tmp_path / "windows"), "--label", "joy") == 1
    assert "it has stress" in capsys.readouterr().err
