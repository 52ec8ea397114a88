"""Simulated cohorts with a known truth: their construction decides what personalization can and cannot gain in them.

One or two channels of slow noise at 4 Hz, alternating runs of calm and stress. Stress moves a participant's level in some direction over
the features of a channel; the truth says whether the direction, the feature, the place and the time differ between participants. A
constant offset per participant would have no effect, because min-max normalization removes it; a direction remains.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raylab.errors import RecordingError
from raylab.recordings.recording import Channel, Dataset, Label, LabelTrack, Options, Recording, Segment, Trait

RATE_HZ = 4
RUNS = 8
NAMES = ("a", "b")
BIG_FIVE = ("extraversion", "agreeableness", "conscientiousness", "stability", "openness")
MEMORY_S = 2.0  # time constant of the slow noise: shorter than a window, so that a run has no level of its own
MARK = 4.0
FEATURES = 6  # of a channel in which every participant has a direction of their own
TYPES = np.array([[1.0, 0.0], [-0.5, np.sqrt(0.75)]])  # directions in which the two types respond
SHOWN = 3  # features that show a hidden type: more than those of the response, which would else decide similarity
SIGNATURE = 1.5  # amplitude of the oscillation that shows a type, in SDs of the slow noise
DEFAULTS: dict[str, Any] = {
    "truth": "homogeneous", "participants": 20, "minutes": 5.4, "strength": 1.5, "noise": 1.0, "balance": 0.5, "seed": 0,
}  # fmt: skip

Signal = npt.NDArray[np.float64]
Generator = np.random.Generator


@dataclass(frozen=True)
class Session:
    """One participant's session: the values that a truth may use.

    Attributes:
        stressed: (n,) class of each sample, 0 or 1.
        run: (n,) index of the run.
        place: (n,) position in the session, 0 to 1.
        strength: difference of the response between stress and calm.
        noise: SD of the slow noise.
        kind: type of the participant in a clustered cohort: 0 and 1 in turn, half of the participants each. If one type were more frequent, a
            pooled model would serve it without any clustering.
        number: the participant's number, from 0.
        people: number of participants.
        rng: the participant's stream of random numbers.
    """

    stressed: Signal
    run: npt.NDArray[np.int64]
    place: Signal
    strength: float
    noise: float
    kind: int
    number: int
    people: int
    rng: Generator

    @property
    def response(self) -> Signal:
        """(n,) the response, centred: its mean level does not tell how much of the session was stress."""
        return self.strength * (self.stressed - 0.5)

    def sign(self) -> int:
        """-1 or 1, drawn for the participant."""
        return int(self.rng.choice([-1, 1]))

    def own_response(self) -> Signal:
        """(n, FEATURES): the response in a random direction of the participant's own.

        With signs instead of directions, a pooled model would serve the participants with the more frequent sign, who would have nothing to gain.
        """
        direction = self.rng.normal(size=FEATURES)
        return np.asarray(np.outer(self.response, direction / np.linalg.norm(direction)))

    def typical_response(self) -> Signal:
        """(n, 2): the response in the direction of the participant's type; the two are 120 degrees apart, so a pooled model finds one between."""
        return np.asarray(np.outer(self.response, TYPES[self.kind]))

    def tone(self, low_hz: float, high_hz: float) -> Signal:
        """(n,) an oscillation at a frequency of the participant's own, drawn from ``low_hz`` to ``high_hz``."""
        turns = self.rng.uniform(low_hz, high_hz) * np.arange(len(self.stressed)) / RATE_HZ + self.rng.random()
        return np.asarray(SIGNATURE * np.sin(2 * np.pi * turns))

    def in_noise(self, signal: Signal, share: float = 1.0) -> Signal:
        """(n, n_features): the signal plus ``share`` times autoregressive noise of SD ``noise`` and a little white noise."""
        from scipy.signal import lfilter

        clean = signal.reshape(len(signal), -1)
        keep = float(np.exp(-1 / (MEMORY_S * RATE_HZ)))
        white = self.rng.normal(0, self.noise, (len(clean) + 100, clean.shape[1]))
        slow = lfilter([np.sqrt(1 - keep**2)], [1, -keep], white, axis=0)[100:]
        return np.asarray(clean + share * (slow + self.rng.normal(0, 0.2 * self.noise, slow.shape)))


ChannelSignals = tuple[Signal, ...]


def _no_signal(s: Session) -> ChannelSignals:
    """Noise only: the labels have no relation to the signals."""
    return (s.in_noise(np.zeros(len(s.stressed))),)


def _homogeneous(s: Session) -> ChannelSignals:
    """The same response in all participants."""
    return (s.in_noise(s.response),)


def _shifted(s: Session) -> ChannelSignals:
    """A direction of their own for each participant."""
    return (s.in_noise(s.own_response()),)


def _shifted_recognizable(s: Session) -> ChannelSignals:
    """One feature of the channel per participant, and only the participant's own carries a signal: it identifies the participant.

    At the start of the session all features go up for a twentieth of it and down for another, which gives all of them one range. Without
    this, min-max normalization would amplify the silent ones.
    """
    samples = s.in_noise(np.zeros((len(s.stressed), s.people)), 0.02)
    samples[:, s.number] = s.in_noise(s.sign() * s.response)[:, 0]
    samples[s.place < 0.05] = MARK
    samples[(s.place >= 0.05) & (s.place < 0.1)] = -MARK
    return (samples,)


def _clustered(s: Session) -> ChannelSignals:
    """One of two directions, by the participant's type."""
    return (s.in_noise(s.typical_response()),)


def _clustered_hidden(s: Session) -> ChannelSignals:
    """Channel b shows the type, channel a holds the response: late fusion adds the channels up and cannot make one depend on the other."""
    type_features = np.stack([s.kind * s.tone(0.8, 1.2) for _ in range(SHOWN)], axis=1)
    return s.in_noise(s.typical_response()), s.in_noise(type_features)


def _drift(s: Session) -> ChannelSignals:
    """The response moves from channel a to channel b in the middle third of the session, in a direction of its own in each."""
    moved_share = np.clip(3 * s.place - 1, 0, 1)[:, None]
    return s.in_noise((1 - moved_share) * s.own_response()), s.in_noise(moved_share * s.own_response())


def _blocks(s: Session) -> ChannelSignals:
    """Every run has levels of its own, whatever its label, in as many features as there are runs: any labelling of the runs can be learned."""
    return (s.in_noise(s.rng.normal(0, s.strength, (RUNS, RUNS))[s.run]),)


@dataclass(frozen=True)
class SimulatedEffect:
    """A construction of participants with a known truth.

    Attributes:
        name: the value of the option ``truth``.
        description: the truth in words, for the card.
        make: from a session to the participant's channels, each (n, n_features): one channel, or two if the truth needs them.
        traits_show_kind: whether the Big Five tell the type.
    """

    name: str
    description: str
    make: Callable[[Session], ChannelSignals]
    traits_show_kind: bool = False


SIMULATED_EFFECTS: dict[str, SimulatedEffect] = {
    truth.name: truth
    for truth in (
        SimulatedEffect("no_signal", "labels are unrelated to the signals", _no_signal),
        SimulatedEffect("homogeneous", "everyone responds alike; traits are unrelated", _homogeneous),
        SimulatedEffect("shifted", "each person responds in an own direction over the features of a channel", _shifted),
        SimulatedEffect(
            "shifted_recognizable",
            "each person responds with an own sign, in an own feature of the channel",
            _shifted_recognizable,
        ),
        SimulatedEffect(
            "clustered", "two types respond in directions 120 degrees apart; the Big Five tell the type", _clustered, True
        ),
        SimulatedEffect(
            "clustered_hidden",
            "two types respond in directions 120 degrees apart; another channel tells the type",
            _clustered_hidden,
        ),
        SimulatedEffect("drift", "the response moves from one channel to the other, in an own direction in each", _drift),
        SimulatedEffect("blocks", "every run has its own levels, whatever its label", _blocks),
    )
}


def _selected_effect(options: Options) -> SimulatedEffect:
    """The effect that the option ``truth`` names.

    Raises:
        RecordingError: if there is no such effect.
    """
    name = str(options.get("truth", DEFAULTS["truth"]))
    if name not in SIMULATED_EFFECTS:
        raise RecordingError(f"option truth={name} is unknown", remedy=f"use one of {', '.join(SIMULATED_EFFECTS)}")
    return SIMULATED_EFFECTS[name]


_LIMITS: Mapping[str, tuple[float, float]] = {
    "participants": (3, 10_000), "minutes": (2.7, 600), "strength": (0, 100), "noise": (0.01, 100), "balance": (0.2, 0.8), "seed": (0, 2**31),
}  # fmt: skip


def _option_value(options: Options, name: str) -> float:
    """The value of an option.

    Raises:
        RecordingError: if it is outside its limits.
    """
    value, (low, high) = float(options.get(name, DEFAULTS[name])), _LIMITS[name]
    if not low <= value <= high:
        raise RecordingError(
            f"option {name}={value:g} is outside {low:g} to {high:g}", remedy=f"use --option {name}={DEFAULTS[name]}"
        )
    return value


def participants(root: Path, options: Options) -> list[str]:
    """``P01``, ...: as many as the option says."""
    return [f"P{number:02d}" for number in range(1, int(_option_value(options, "participants")) + 1)]


def _draw_runs(minutes: float, balance: float, rng: Generator) -> list[tuple[int, int]]:
    """(class, whole seconds, a multiple of 10) of the runs, alternating; ``balance`` is the share of stress. The first class is drawn."""
    first = int(rng.integers(2))
    pair_s = minutes * 60 / (RUNS / 2)
    seconds = {1: max(10, 10 * round(pair_s * balance / 10)), 0: max(10, 10 * round(pair_s * (1 - balance) / 10))}
    return [((first + run) % 2, seconds[(first + run) % 2]) for run in range(RUNS)]


def _draw_traits(kind: int, shown: bool, rng: Generator) -> dict[str, Trait]:
    """Age, gender and Big Five (1..7): random, or, if ``shown``, a Big Five around 2.5 or 5.5 by the participant's type."""
    centre = (2.5, 5.5)[kind] if shown else 4.0
    spread = 0.5 if shown else 1.2
    traits: dict[str, Trait] = {"age": float(rng.integers(18, 66)), "gender": str(rng.choice(["female", "male"]))}
    return traits | {name: float(np.round(np.clip(rng.normal(centre, spread), 1, 7), 2)) for name in BIG_FIVE}


def read(root: Path, participant: str, options: Options) -> Recording:
    """One simulated participant; the same options give the same recording to the bit, whichever other participants are read."""
    truth = _selected_effect(options)
    seeds = [int(_option_value(options, "seed")), list(SIMULATED_EFFECTS).index(truth.name), int(participant[1:])]
    rng = np.random.default_rng(seeds)
    runs = _draw_runs(_option_value(options, "minutes"), _option_value(options, "balance"), rng)
    number = int(participant[1:]) - 1
    kind = number % 2
    samples = [seconds * RATE_HZ for _, seconds in runs]
    stressed = np.repeat([float(stress) for stress, _ in runs], samples)
    session = Session(
        stressed=stressed,
        run=np.repeat(np.arange(RUNS), samples),
        place=np.linspace(0, 1, len(stressed)),
        strength=_option_value(options, "strength"),
        noise=_option_value(options, "noise"),
        kind=kind,
        number=number,
        people=int(_option_value(options, "participants")),
        rng=rng,
    )
    signals = dict(zip(NAMES, truth.make(session), strict=False))
    track = LabelTrack(np.arange(len(stressed)) / RATE_HZ, stressed)
    return Recording(
        participant,
        tuple(Channel(name, name, RATE_HZ, RATE_HZ, "a.u.") for name in signals),
        (Segment("session", 0.0, signals, {"task": track}),),
        _draw_traits(kind, truth.traits_show_kind, rng),
        (f"known truth {truth.name}: {truth.description}",),
    )


KNOWN_TRUTH = Dataset(
    name="known_truth",
    signals="one or two simulated channels; the option truth says what is to be found in them: " + ", ".join(SIMULATED_EFFECTS),
    traits=("age", "gender", *BIG_FIVE),
    labels=(Label("stress", "task", "majority", ("calm", "stress"), {0: 0, 1: 1}),),
    default_labels=("stress",),
    licence="generated by raylab (Apache-2.0)",
    obtain="built in",
    citation="",
    participants=participants,
    read=read,
    options=DEFAULTS,
    needs_root=False,
    caution="Simulated data with a known truth: says nothing about people.",
)
