"""Whether more people to train on help: on simulated scores in which they help one technique and not another."""

import numpy as np
import pandas as pd
import pytest

from analysis.scores.run_folder import RunTables
from analysis.statistics.growth import COLUMNS, growth

NUMBERS = (4, 8, 16)


def _simulated(people: int = 20, seed: int = 0, numbers: tuple[int, ...] = NUMBERS) -> tuple[RunTables, pd.DataFrame]:
    """Scores of participants under three numbers of people: ``fine_tuning budget=0.2`` gains 0.04 a doubling, the reference nothing, and
    ``fine_tuning budget=0.4`` is always 0.2 worse, so nobody's others choose it."""
    rng = np.random.default_rng(seed)
    rows, trials = [], []
    for number in numbers:
        dataset = f"w ({number} people)"
        for participant in range(people):
            level = 0.6 + 0.1 * np.sin(participant)
            cell = {"dataset": dataset, "label": "l", "model": "m", "participant": f"P{participant:02d}", "seed": 0}
            trials.append({**cell, "technique": "non_personalized", "status": "ok", "people": number})
            for technique, variant, gain in (
                ("non_personalized", "-", 0.0),
                ("fine_tuning", "budget=0.2", 0.04 * np.log2(number)),
                ("fine_tuning", "budget=0.4", -0.2),
                ("oracle (not attainable)", "-", 0.3),
            ):
                score = level + gain + rng.normal(0, 0.01)
                rows.append({**cell, "technique": technique, "variant": variant, "against": "", "auroc": score})
    frame = pd.DataFrame(trials)
    sources = {f"w ({number} people)": "w" for number in numbers}
    return RunTables(frame, frame, pd.DataFrame(), (), sources=sources), pd.DataFrame(rows)


def test_scaling_that_helps_is_found_and_scaling_that_does_not_is_not() -> None:
    """20 simulated cohorts: the slope of 0.04 a doubling (0.08 from 4 to 16) is found in all, the flat technique is called better in none."""
    flat = 0
    for seed in range(20):
        table = growth(*_simulated(seed=seed)).set_index("technique")
        assert ["fine_tuning", "non_personalized"] == table.index.tolist()  # a bound is no candidate
        tuned = table.loc["fine_tuning"]
        assert (4, 16, 20, "better", 2) == tuple(tuned[["smallest", "largest", "n_participants", "outcome", "family_size"]])
        assert (0.08, 0.04) == pytest.approx((tuned["difference"], tuned["slope"]), abs=0.01)
        flat += table.loc["non_personalized", "outcome"] in ("better", "worse")
    assert flat <= 1


def test_a_participant_without_the_smallest_number_is_counted_as_missing() -> None:
    """Both sides of a difference are of the same person; one number of people is no growth."""
    tables, scores = _simulated()
    few = scores[~(scores["participant"].eq("P03") & scores["dataset"].eq("w (4 people)"))]
    table = growth(tables, few)
    assert {(19, 1)} == set(zip(table["n_participants"], table["n_missing"], strict=True))
    one = growth(*_simulated(numbers=(8,)))
    assert one.empty and COLUMNS == one.columns.tolist()
