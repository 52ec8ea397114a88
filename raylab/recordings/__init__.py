"""Readers of published datasets, one file each, and the table that lists them."""

from raylab.recordings.amigos import AMIGOS
from raylab.recordings.ascertain import ASCERTAIN
from raylab.recordings.case import CASE
from raylab.recordings.csv_folder import CSV_FOLDER
from raylab.recordings.emodb import EMODB
from raylab.recordings.kemocon import KEMOCON
from raylab.recordings.ravdess import RAVDESS
from raylab.recordings.recording import Channel, Dataset, Label, LabelTrack, Recording, Segment
from raylab.recordings.simulated import SIMULATED
from raylab.recordings.simulated_effects import KNOWN_TRUTH
from raylab.recordings.stress_predict import STRESS_PREDICT
from raylab.recordings.wesad import WESAD

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (WESAD, AMIGOS, ASCERTAIN, CASE, KEMOCON, STRESS_PREDICT, EMODB, RAVDESS, SIMULATED, KNOWN_TRUTH, CSV_FOLDER)
}

__all__ = ["DATASETS", "Channel", "Dataset", "Label", "LabelTrack", "Recording", "Segment"]
