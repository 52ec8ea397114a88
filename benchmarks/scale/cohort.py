"""The card and the index of a simulated cohort of any size, without signals: all that planning reads."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from raylab.windows.card import LabelCard, ParticipantCard, WindowsCard
from raylab.windows.channel_card import ChannelCard
from raylab.windows.dataset import PER_PARTICIPANT, WindowIndex
from raylab.windows.preprocess import Preprocessing

CHANNELS = ("BVP", "EDA")
CLASSES = ("not stress", "stress")
BLOCK = 10  # windows of a run of one class
STEP_S = 5.0


def _participant(number: int, windows: int, age: int) -> ParticipantCard:
    stress = sum(place // BLOCK % 2 for place in range(windows))
    return ParticipantCard(
        name=f"P{number:05d}",
        windows=windows,
        duration_s=windows * STEP_S + 10,
        counts={"stress": {CLASSES[0]: windows - stress, CLASSES[1]: stress}},
        traits={"age": age, "gender": "fm"[number % 2]},
        fingerprint=f"simulated {number}",
    )


def _channel(name: str, rate_hz: float) -> ChannelCard:
    return ChannelCard(
        name=name,
        modality="a.u.",
        recorded_hz=rate_hz,
        rate_hz=rate_hz,
        unit="a.u.",
        length=round(10 * rate_hz),
        n_features=1,
        variable=False,
    )


def cohort_card(people: int, windows: int, rates: Mapping[str, float], seed: int = 0) -> WindowsCard:
    """People of ``windows`` windows of 10 s each, in runs of ``BLOCK`` windows of one class; ages 20 to 59, two genders.

    Args:
        rates: channel to its samples a second.
    """
    ages = np.random.default_rng(seed).integers(20, 60, people)
    return WindowsCard(
        format=1,
        raylab="0",
        dataset=f"cohort of {people}",
        caution="Simulated.",
        licence="none",
        citation="none",
        options={},
        preprocessing=Preprocessing(step_s=STEP_S),
        labels=(LabelCard(name="stress", classes=CLASSES, decide="mode"),),
        channels=tuple(_channel(name, rate) for name, rate in rates.items()),
        participants=tuple(_participant(k, windows, int(age)) for k, age in enumerate(ages)),
        similarity_traits=("age", "gender"),
        fingerprint=f"cohort {people} {windows} {seed}",
    )


def cohort_index(people: int, windows: int, seed: int = 0) -> WindowIndex:
    """The index of ``cohort_card``; noise as statistics."""
    card, rng = cohort_card(people, windows, dict.fromkeys(CHANNELS, 4.0), seed), np.random.default_rng(seed + 1)
    person, place = np.divmod(np.arange(people * windows), windows)
    return WindowIndex(
        card=card,
        participants=tuple(entry.name for entry in card.participants),
        window=person * PER_PARTICIPANT + place,
        participant_index=person.astype(np.int32),
        segment=np.zeros(len(person), np.int32),
        start_s=place * STEP_S,
        labels={"stress": classes_of(windows)[place]},
        statistics={name: rng.normal(size=(len(person), 3)).astype(np.float32) for name in CHANNELS},
    )


def classes_of(windows: int) -> npt.NDArray[np.int8]:
    """The classes of one person's windows."""
    return (np.arange(windows) // BLOCK % 2).astype(np.int8)
