"""Sentences on what a study leaves to the data, or leaves out of them: which unit calibrates, which windows are used."""

from raylab.techniques.stage import AUTO
from raylab.trials.plan import CheckedDataset
from raylab.trials.study import Study


def calibration_sentences(study: Study, dataset: CheckedDataset) -> list[str]:
    """Which unit the study's calibration windows are taken by, and what follows; nothing for studies without, and for utterances."""
    asked = {variant["unit"] for _, technique in study.trained for variant in technique.variants if "unit" in variant}
    runs = dataset.runs
    if not asked or not runs.timed or not runs.people:
        return []
    units = {runs.unit if unit == AUTO else unit for unit in asked}
    counted = f"{runs.several} of {runs.people} people have several runs of each class"
    chosen = "" if AUTO not in asked else f" (unit: auto, since {counted})"
    sentences = []
    if "block" in units:
        left = runs.people - runs.several
        alone = f"; {left} of {runs.people} people have one run of a class, which leaves them no test window of it and no AUROC"
        sentences.append(
            f"variants with unit=block calibrate by whole runs, so no run is on both sides{chosen}{alone if left else ''}."
        )
    if "window" in units:
        why = chosen if runs.unit == "window" else f", although {counted}"
        sentences.append(
            f"variants without unit=block calibrate by windows{why}: calibration and test windows share a run, and a gain may be the run's "
            "identity; the row run_identity is the ceiling of that."
        )
    return sentences
