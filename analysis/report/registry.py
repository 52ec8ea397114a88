"""The parts of a report: the one table that names them all."""

from collections.abc import Iterable

from analysis.report.external_tables import ExternalSource
from analysis.report.parts import appendix, channels, classes, comparison, labels, models, order, participants, run, training
from analysis.report.report_part import ReportPart

# In this order they are computed, each from the frames of those before it, and their sections stand in the page: first those of the
# whole run that come before the cells, then for each cell its own, then the others of the whole run.
PARTS: tuple[ReportPart, ...] = (
    comparison.SCORES,
    comparison.INFLATION,
    comparison.COMPARISON,
    comparison.CHOSEN,
    comparison.PAPER_TABLE,
    models.BEST_REFERENCE,
    models.MODEL_COMPARISON,
    order.ORDER,
    participants.GAINS,
    participants.WITHIN_PERSON,
    comparison.LABEL_BUDGET,
    comparison.NUMBER_OF_CLUSTERS,
    training.SEARCHED,
    training.CHANNELS,
    classes.MEANS,
    classes.CONFUSION,
    classes.CLASSES,
    training.ATTENTION,
    participants.FAIRNESS,
    appendix.OTHER_METRICS,
    appendix.BAYESIAN,
    appendix.COMMON_SCORES,
    appendix.RANKING,
    appendix.APPENDIX,
    training.CURVES,
    training.RELIABILITY,
    labels.LABEL_COST,
    labels.LOSERS_AVOIDED,
    models.GROWTH,
    models.LEARNING_CURVE,
    models.ACROSS_DATASETS,
    appendix.STOUFFER,
    channels.CHANNELS,
    run.STATUS,  # before it stand the external sources
    run.NOTES,
    run.PROVENANCE,
)


def report_parts(sources: Iterable[ExternalSource] = ()) -> tuple[ReportPart, ...]:
    """The parts of a report; each external source that the run is set beside has one of its own."""
    place = PARTS.index(run.STATUS)
    return (*PARTS[:place], *map(run.external_part, sources), *PARTS[place:])
