"""Weights of attention fusion in a report: averaged within a person before people are averaged, and shown beside the weight of equal shares."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders.run import write_run

import analysis
from analysis.report.write import write_report
from analysis.scores.attention import attention_weights, weights_by_variant

VARIANTS = (("non_personalized", "-"), ("hybrid", "budget=0.2"))
PEOPLE = ("A", "B")


def _with_weights(folder: Path) -> Path:
    """non_personalized weighed two channels: A in two windows (0.9 and 0.5 for the voice), B in one (0.1)."""
    run = write_run(folder, people=PEOPLE, variants=VARIANTS)
    (run / "attention").mkdir()
    for key, voice in (("000000", [0.9, 0.5]), ("000001", [0.1])):
        rows = [
            {"trial": key, "window": w, "channel": channel, "weight": weight}
            for w, v in enumerate(voice)
            for channel, weight in (("voice", v), ("words", 1 - v))
        ]
        pq.write_table(pa.Table.from_pylist(rows), run / "attention" / f"{key}.parquet")
    return run


def test_a_person_is_averaged_before_people_are(tmp_path: Path) -> None:
    """The voice: A 0.7 (SD between windows 0.283), B 0.1; the mean over people is 0.4, not that of three windows (0.5)."""
    run = _with_weights(tmp_path / "run")
    weights = attention_weights(run, analysis.load(run).trials)
    assert [("A", "voice", 2), ("A", "words", 2), ("B", "voice", 1), ("B", "words", 1)] == list(
        weights[["participant", "channel", "windows"]].itertuples(index=False, name=None)
    )
    np.testing.assert_allclose(weights["mean"], [0.7, 0.3, 0.1, 0.9])
    by_channel = weights_by_variant(weights).set_index("channel")
    assert {"non_personalized"} == set(by_channel["technique"])
    np.testing.assert_allclose(
        by_channel.loc["voice", ["mean", "equal", "sd_people"]].astype(float), [0.4, 0.5, 0.6 / np.sqrt(2)]
    )
    assert by_channel.loc["voice", "sd_windows"] == pytest.approx(0.4 / np.sqrt(2))


def test_the_report_shows_them_and_only_where_there_are_any(tmp_path: Path) -> None:
    """A section of the page and attention.csv; a run without attention fusion has no such section."""
    run, without = _with_weights(tmp_path / "run"), write_run(tmp_path / "without", people=PEOPLE, variants=VARIANTS)
    write_report(run)
    write_report(without)
    pages = [(folder / "report" / "report.html").read_text(encoding="utf-8") for folder in (run, without)]
    assert [True, False] == ["Attention weights" in page for page in pages]
    assert 4 == len(pd.read_csv(run / "report" / "attention.csv"))
    assert pd.read_csv(without / "report" / "attention.csv").empty
