"""How much of a gain on RAVDESS is that of twins: utterances tested whose other take was a calibration utterance.

    python docs/results/ravdess_twins.py RUN        # a run of studies/ravdess_personalized.yaml

Every actor speaks each of two sentences twice in each emotion. For every variant this prints the mean difference in UAR to non-personalized over
actors, its 95% interval and its p (of the report's test, not adjusted): on all utterances that the variant was tested on, on those whose other take
was in its calibration (twins), and on the rest.
"""

import sys

import numpy as np
import pandas as pd

import analysis
from analysis.statistics.comparison import paired_statistics

run = sys.argv[1]
line = "{difference:+.3f} [{ci_low:+.3f}, {ci_high:+.3f}] p {p:.4f}"
trials = analysis.load(run).trials.set_index("trial")
read = pd.read_parquet(f"{run}/predictions").query("not purged")
read["hit"] = np.stack(read["p"].to_numpy()).argmax(axis=1) == read["y_true"]
read["variant"] = read["trial"].map(trials["technique"] + " " + trials["variant"])
sentence = pd.read_parquet(f"{run}/transcripts.parquet").set_index("window")["transcript"]
read["take_of"] = list(zip(read["y_true"], read["window"].map(sentence), strict=True))
base = {
    person: rows.set_index("window")
    for person, rows in read[read["variant"].str.startswith("non_personalized")].groupby("participant")
}


def uar(rows: pd.DataFrame) -> float:
    return float(rows.groupby("y_true")["hit"].mean().mean())


def parts(person: str, tested: pd.DataFrame) -> dict[str, float]:
    """Differences of one actor, by which utterances they are on."""
    own, tested = base[person], tested.set_index("window")
    calibration = set(own.drop(tested.index)["take_of"])
    twin = tested["take_of"].isin(calibration)
    kept = {"all": tested, "twins": tested[twin], "others": tested[~twin]}
    return {name: uar(rows) - uar(own.loc[rows.index]) if len(rows) else np.nan for name, rows in kept.items()}


for variant, rows in read[~read["variant"].str.startswith("non_personalized")].groupby("variant"):
    found = pd.DataFrame([parts(str(person), tested) for person, tested in rows.groupby("participant")])
    told = [paired_statistics([found[name].dropna().to_numpy()])[0] for name in found]
    print(f"{variant} | " + " | ".join(line.format(**row) if "ci_low" in row else "none" for row in told))
