"""The tables of docs/results follow from the scores that are published beside them."""

from pathlib import Path

import pandas as pd
import pytest

import analysis
from benchmarks.page_tables import compared_values

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
SCORES = sorted(path for path in (RESULTS / "scores").glob("*.csv") if not path.stem.endswith(".inflations"))


@pytest.mark.parametrize("file", SCORES, ids=lambda file: file.stem)
def test_a_table_is_computed_from_its_scores(file: Path) -> None:
    """Of the page that links the scores, every row of a technique: mean, SD, people, difference, interval, adjusted p, outcome, gainers, losers."""
    (page,) = [page for page in RESULTS.glob("*.md") if f"(scores/{file.name})" in page.read_text(encoding="utf-8")]
    scores = pd.read_csv(file, keep_default_na=False, na_values=[""])
    inflations = pd.read_csv(file.with_suffix(".inflations.csv"), keep_default_na=False)
    compared = analysis.compare(scores, scores.columns[-1], inflations)
    lines = page.read_text(encoding="utf-8").splitlines()

    tested = compared[compared["difference"].notna()].to_dict("records")
    assert len(tested) > 10
    for row in tested:
        start = f"| {row['model']} | {row['technique']} | {row['variant']} | {' | '.join(compared_values(row))} |"
        assert any(line.startswith(start) for line in lines), start
