"""Controls for what text can tell: transcripts that were shuffled, and the ceiling of the transcript alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.studies import study
from builders.windows import make_windows, store, with_card

import analysis
from analysis.scores.scores import score
from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.runs.participants import transcripts_table
from raylab.trials.plan import check_datasets, dataset_name
from raylab.trials.study import DatasetEntry, parse_study
from raylab.validity.probes import probe
from raylab.windows.dataset import Windows, read_windows
from raylab.windows.segmentation import valid_statistics
from raylab.windows.transcripts import UNKNOWN, transcripts

SENTENCES = 3


def _speech() -> Windows:
    """Three speakers of 12 utterances: ``a`` is sound, ``b`` holds one of three sentences of 4 to 6 tokens; the last one says nothing."""
    made = make_windows({f"S{i}": [0, 1] * 6 for i in range(1, 4)}, length=4, step_s=10.0)
    number = np.arange(36) % SENTENCES
    length = (4 + number).astype(np.int32)
    length[-1] = 0
    texts = np.random.default_rng(1).normal(0, 1, (SENTENCES, 8, 1)).astype(np.float32)
    words = texts[number] * (np.arange(8)[None, :, None] < length[:, None, None])
    a, b = made.index.card.channels
    made = with_card(made, channels=(a.changed(modality="acoustic"), b.changed(modality="linguistic", variable=True)))
    index = replace(made.index, statistics={**made.index.statistics, "b": valid_statistics(words, length)})
    return Windows(index, {**made.signals, "b": words}, {"b": length})


def test_windows_of_one_transcript_have_one_number() -> None:
    """Three sentences, three numbers, whoever says them; an utterance without words has none, and other data have no transcripts."""
    found = transcripts(_speech().index)
    assert found is not None
    assert found[-1] == UNKNOWN
    assert [1] * SENTENCES == [len(set(found[i:-1:SENTENCES])) for i in range(SENTENCES)]
    assert len(set(found[:-1])) == SENTENCES
    assert transcripts(make_windows({"P1": [0, 1]}).index) is None


def test_shuffled_transcripts_move_text_within_a_speaker_and_nothing_else(tmp_path: Path) -> None:
    """Each speaker keeps the sentences and their lengths in another order; sound and labels stay; the name says so."""
    windows = _speech()
    card = probe("shuffled_transcripts", str(store(windows, tmp_path / "speech")), str(tmp_path / "out"), seed=3)
    after = read_windows(Folder(str(tmp_path / "out")))
    np.testing.assert_array_equal(windows.signals["a"], after.signals["a"])
    np.testing.assert_array_equal(windows.index.labels["stress"], after.index.labels["stress"])
    assert not np.array_equal(windows.lengths["b"], after.lengths["b"])
    for person in range(3):
        rows = windows.index.participant_index == person
        before = sorted(zip(windows.lengths["b"][rows], map(tuple, windows.signals["b"][rows, :, 0]), strict=True))
        assert before == sorted(zip(after.lengths["b"][rows], map(tuple, after.signals["b"][rows, :, 0]), strict=True))
    assert "transcripts (b) were permuted" in card.caution
    assert dataset_name(DatasetEntry(windows="x", label="stress"), after.index) == "made (shuffled transcripts)"


def test_shuffled_transcripts_need_a_linguistic_channel(tmp_path: Path) -> None:
    source = store(make_windows({f"P{i}": [0, 1] * 3 for i in range(3)}), tmp_path / "made")
    with pytest.raises(RaylabError, match="needs a linguistic channel, and made has none"):
        probe("shuffled_transcripts", str(source), str(tmp_path / "out"))


def _frames(y: list[int], said: list[int]) -> analysis.RunTables:
    """Two speakers of one run, who each say ``said`` with the classes ``y``."""
    trials = pd.DataFrame(
        [
            {"trial": name, "dataset": "d", "label": "emotion", "model": "m", "technique": "non_personalized", "variant": "-"}
            | {"participant": name, "seed": 0, "status": "ok"}
            for name in ("A", "B")
        ]
    )
    n = len(y)
    told = pd.DataFrame({"trial": ["A"] * n + ["B"] * n, "window": np.arange(2 * n), "y_true": y * 2, "purged": False})
    told[["p_0", "p_1"]] = 0.5
    spoken = pd.DataFrame({"dataset": "d", "window": np.arange(2 * n), "transcript": said * 2})
    return analysis.RunTables(trials, trials, told, (), transcripts=spoken)


def test_the_text_ceiling_is_what_the_transcript_tells() -> None:
    """Sentence 7 is said three times in class 1 and once in class 0, sentence 8 twice in class 0: five of six can be right, and no more."""
    made = score(_frames([1, 1, 1, 0, 0, 0], [7, 7, 7, 7, 8, 8])).set_index(["technique", "participant"])
    for name in ("A", "B"):
        assert made.loc[("text_ceiling", name), "accuracy"] == pytest.approx(5 / 6)
        assert made.loc[("text_ceiling", name), "balanced_accuracy"] == pytest.approx((1 + 2 / 3) / 2)


def test_a_transcript_in_every_class_alike_tells_nothing() -> None:
    """As in RAVDESS: then the ceiling is chance, in UAR and in AUROC."""
    row = score(_frames([0, 1, 0, 1], [7, 7, 8, 8])).set_index("technique").loc["text_ceiling"].iloc[0]
    assert (0.5, 0.5) == (row["balanced_accuracy"], row["auroc"])


def test_the_ceiling_of_recalls_says_the_class_that_a_transcript_has_most_of() -> None:
    """Class 1 is the more frequent in both sentences (3 of 5, 2 of 3), so the accuracy's oracle says it always; the recalls' says class 0 where
    two of its three are: (2/3 + 2/5) / 2."""
    row = score(_frames([1, 1, 1, 0, 0, 1, 1, 0], [7] * 5 + [8] * 3)).set_index("technique").loc["text_ceiling"].iloc[0]
    assert (row["accuracy"], row["balanced_accuracy"]) == pytest.approx((5 / 8, (2 / 3 + 2 / 5) / 2))


def test_data_without_transcripts_have_no_ceiling() -> None:
    frames = _frames([0, 1], [7, 8])
    without = replace(frames, transcripts=frames.transcripts.assign(dataset="other"))
    assert "text_ceiling" not in set(score(without)["technique"])


def test_a_run_keeps_numbers_of_transcripts_and_no_text() -> None:
    """One row per utterance that says something, under the dataset's name in the tables."""
    windows = _speech()
    read = parse_study(study(techniques=["non_personalized"]), "s")
    table = transcripts_table(check_datasets(read, {"made": windows.index}))
    assert table is not None
    assert (["dataset", "window", "transcript"], 35) == (table.column_names, table.num_rows)
    twice = check_datasets(read, {"made": windows.index}) * 2  # two labels of one dataset
    assert table.equals(transcripts_table(twice))
    assert transcripts_table(check_datasets(read, {"made": make_windows({f"P{i}": [0, 1] for i in range(3)}).index})) is None
