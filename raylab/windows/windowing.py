"""Recordings of either kind to windows: running signals are cut, utterances are windows already."""

import numpy as np
import numpy.typing as npt

from raylab.recordings.recording import Label, Recording
from raylab.windows.preprocess import Preprocessing
from raylab.windows.segmentation import OnChannel, ParticipantWindows, classes_of, cut, grid_of
from raylab.windows.utterances import Utterances, classes_of_utterances, cut_utterances


def cut_windows(
    recording: Recording, labels: list[Label], settings: Preprocessing | Utterances, done: OnChannel = lambda name: None
) -> ParticipantWindows:
    """All windows of one participant that carry at least one of the labels.

    Args:
        done: called with the name of each channel of running signals when its samples are not needed any longer.

    Raises:
        RecordingError: as ``cut`` and ``cut_utterances``.
    """
    if settings.kind == "utterances":
        return cut_utterances(recording, labels, settings)
    return cut(recording, labels, settings, done)


def possible_classes(
    recording: Recording, labels: list[Label], settings: Preprocessing | Utterances
) -> dict[str, npt.NDArray[np.int8]]:
    """Label name to the class index of every possible window of one participant, ``NO_LABEL`` if it has none."""
    if settings.kind == "utterances":
        return {label.name: classes_of_utterances(recording, label) for label in labels}
    grid = grid_of(recording, settings)
    return {label.name: classes_of(recording, grid, label, settings.window_s) for label in labels}
