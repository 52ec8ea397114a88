"""Simulated cohorts with a known truth: what personalization can and cannot find in them is decided by how they are made.

One or two channels of slow noise at 4 Hz, alternating runs of calm and stress. Stress moves a person's level in some direction over the
features of a channel: whose, which, where and when is the truth. A constant offset per person would say nothing, since min-max removes it;
a direction stays.
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
MEMORY_S = 2.0  # of the slow noise: shorter than a window, so that a run has no level of its own
MARK = 4.0
FEATURES = 6  # of a channel in which everyone has an own direction
TYPES = np.array([[1.0, 0.0], [-0.5, np.sqrt(0.75)]])  # directions of the two types' response
SHOWN = 3  # features that tell a hidden type: more than the response's, or similarity would be decided by those
SIGNATURE = 1.5  # amplitude of what makes a person or a type visible, in SDs of the slow noise
DEFAULTS: dict[str, Any] = {
    "truth": "homogeneous", "participants": 20, "minutes": 5.4, "strength": 1.5, "noise": 1.0, "balance": 0.5, "seed": 0,
}  # fmt: skip

Signal = npt.NDArray[np.float64]
Generator = np.random.Generator


@dataclass(frozen=True)
class Session:
    """What a truth may use: the samples' class (0 or 1), run, and place in the session (0 to 1), each (n,), and the options.

    Attributes:
        kind: 0 or 1 in turn: the type of a clustered cohort, half of each. A majority's sign would serve the majority without any clusters.
        number: of the person, from 0; ``people``: how many there are.
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
        """Centred, so that the level says nothing of how much stress there was."""
        return self.strength * (self.stressed - 0.5)

    def sign(self) -> int:
        return int(self.rng.choice([-1, 1]))

    def own_response(self) -> Signal:
        """(n, FEATURES): in a direction of the person's own. With signs alone a majority would be served by the pool, and have nothing to gain."""
        direction = self.rng.normal(size=FEATURES)
        return np.asarray(np.outer(self.response, direction / np.linalg.norm(direction)))

    def typical_response(self) -> Signal:
        """(n, 2): in the direction of the person's type; the two are 120 degrees apart, so that the pool has a direction between them."""
        return np.asarray(np.outer(self.response, TYPES[self.kind]))

    def tone(self, low_hz: float, high_hz: float) -> Signal:
        """An oscillation at a frequency that is the person's own."""
        turns = self.rng.uniform(low_hz, high_hz) * np.arange(len(self.stressed)) / RATE_HZ + self.rng.random()
        return np.asarray(SIGNATURE * np.sin(2 * np.pi * turns))

    def in_noise(self, signal: Signal, share: float = 1.0) -> Signal:
        """(n, n_features): the signal in autoregressive noise of SD ``noise`` times ``share``, with a little white noise on top."""
        from scipy.signal import lfilter

        clean = signal.reshape(len(signal), -1)
        keep = float(np.exp(-1 / (MEMORY_S * RATE_HZ)))
        white = self.rng.normal(0, self.noise, (len(clean) + 100, clean.shape[1]))
        slow = lfilter([np.sqrt(1 - keep**2)], [1, -keep], white, axis=0)[100:]
        return np.asarray(clean + share * (slow + self.rng.normal(0, 0.2 * self.noise, slow.shape)))


Made = tuple[Signal, ...]


def _none(s: Session) -> Made:
    return (s.in_noise(np.zeros(len(s.stressed))),)


def _homogeneous(s: Session) -> Made:
    return (s.in_noise(s.response),)


def _shifted(s: Session) -> Made:
    return (s.in_noise(s.own_response()),)


def _recognizable(s: Session) -> Made:
    """One channel with a feature for each person, which alone is alive: it tells whose signal it is. A mark at the start, a twentieth of the
    session up and one down, gives all features one range, or min-max would blow the silent ones up."""
    made = s.in_noise(np.zeros((len(s.stressed), s.people)), 0.02)
    made[:, s.number] = s.in_noise(s.sign() * s.response)[:, 0]
    made[s.place < 0.05] = MARK
    made[(s.place >= 0.05) & (s.place < 0.1)] = -MARK
    return (made,)


def _clustered(s: Session) -> Made:
    return (s.in_noise(s.typical_response()),)


def _clustered_hidden(s: Session) -> Made:
    """The type shows in channel b, the response in a: late fusion adds the channels up and cannot make one depend on the other."""
    shown = np.stack([s.kind * s.tone(0.8, 1.2) for _ in range(SHOWN)], axis=1)
    return s.in_noise(s.typical_response()), s.in_noise(shown)


def _drift(s: Session) -> Made:
    """The response moves from channel a to channel b in the middle third of the session, with a direction of its own in each."""
    moved = np.clip(3 * s.place - 1, 0, 1)[:, None]
    return s.in_noise((1 - moved) * s.own_response()), s.in_noise(moved * s.own_response())


def _blocks(s: Session) -> Made:
    """Every run has levels of its own, whatever its label, in as many features as there are runs: any labelling of the runs can be learned."""
    return (s.in_noise(s.rng.normal(0, s.strength, (RUNS, RUNS))[s.run]),)


@dataclass(frozen=True)
class SimulatedEffect:
    """A way of making people.

    Attributes:
        says: the truth, as the card has it.
        make: what the person's channels carry, each (n, n_features): one channel, or two where the truth needs them.
        traits_show_kind: whether the Big Five tell the type.
    """

    name: str
    description: str
    make: Callable[[Session], Made]
    traits_show_kind: bool = False


SIMULATED_EFFECTS: dict[str, SimulatedEffect] = {
    truth.name: truth
    for truth in (
        SimulatedEffect("no_signal", "labels are unrelated to the signals", _none),
        SimulatedEffect("homogeneous", "everyone responds alike; traits are unrelated", _homogeneous),
        SimulatedEffect("shifted", "each person responds in an own direction over the features of a channel", _shifted),
        SimulatedEffect(
            "shifted_recognizable", "each person responds with an own sign, in an own feature of the channel", _recognizable
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


def _truth(options: Options) -> SimulatedEffect:
    name = str(options.get("truth", DEFAULTS["truth"]))
    if name not in SIMULATED_EFFECTS:
        raise RecordingError(f"option truth={name} is unknown", remedy=f"use one of {', '.join(SIMULATED_EFFECTS)}")
    return SIMULATED_EFFECTS[name]


_LIMITS: Mapping[str, tuple[float, float]] = {
    "participants": (3, 10_000), "minutes": (2.7, 600), "strength": (0, 100), "noise": (0.01, 100), "balance": (0.2, 0.8), "seed": (0, 2**31),
}  # fmt: skip


def _number(options: Options, name: str) -> float:
    value, (low, high) = float(options.get(name, DEFAULTS[name])), _LIMITS[name]
    if not low <= value <= high:
        raise RecordingError(
            f"option {name}={value:g} is outside {low:g} to {high:g}", remedy=f"use --option {name}={DEFAULTS[name]}"
        )
    return value


def participants(root: Path, options: Options) -> list[str]:
    """``P01`` .. as many as the option says."""
    return [f"P{number:02d}" for number in range(1, int(_number(options, "participants")) + 1)]


def _runs(minutes: float, balance: float, rng: Generator) -> list[tuple[int, int]]:
    """(class, whole seconds, a multiple of 10) of the runs, alternating; ``balance`` is the share of stress. Which class starts is drawn."""
    first = int(rng.integers(2))
    pair_s = minutes * 60 / (RUNS / 2)
    seconds = {1: max(10, 10 * round(pair_s * balance / 10)), 0: max(10, 10 * round(pair_s * (1 - balance) / 10))}
    return [((first + run) % 2, seconds[(first + run) % 2]) for run in range(RUNS)]


def _traits(kind: int, shown: bool, rng: Generator) -> dict[str, Trait]:
    centre = (2.5, 5.5)[kind] if shown else 4.0
    spread = 0.5 if shown else 1.2
    traits: dict[str, Trait] = {"age": float(rng.integers(18, 66)), "gender": str(rng.choice(["female", "male"]))}
    return traits | {name: float(np.round(np.clip(rng.normal(centre, spread), 1, 7), 2)) for name in BIG_FIVE}


def read(root: Path, participant: str, options: Options) -> Recording:
    """One simulated person; the same options give the same recording to the bit, whoever else is read."""
    truth = _truth(options)
    seeds = [int(_number(options, "seed")), list(SIMULATED_EFFECTS).index(truth.name), int(participant[1:])]
    rng = np.random.default_rng(seeds)
    runs = _runs(_number(options, "minutes"), _number(options, "balance"), rng)
    number = int(participant[1:]) - 1
    kind = number % 2
    samples = [seconds * RATE_HZ for _, seconds in runs]
    stressed = np.repeat([float(stress) for stress, _ in runs], samples)
    session = Session(
        stressed=stressed,
        run=np.repeat(np.arange(RUNS), samples),
        place=np.linspace(0, 1, len(stressed)),
        strength=_number(options, "strength"),
        noise=_number(options, "noise"),
        kind=kind,
        number=number,
        people=int(_number(options, "participants")),
        rng=rng,
    )
    signals = dict(zip(NAMES, truth.make(session), strict=False))
    track = LabelTrack(np.arange(len(stressed)) / RATE_HZ, stressed)
    return Recording(
        participant,
        tuple(Channel(name, name, RATE_HZ, RATE_HZ, "a.u.") for name in signals),
        (Segment("session", 0.0, signals, {"task": track}),),
        _traits(kind, truth.traits_show_kind, rng),
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
