"""A simulated cohort: NeuroKit2's ECG, PPG, EDA and respiration, alternating runs of calm and stress, and traits.

It is part of the package so that the demo and the tests need no data. Its results describe the simulation and not people:
every card and table made from it says ``simulated``.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from raylab.errors import RecordingError
from raylab.recordings.recording import Channel, Dataset, Label, LabelTrack, Options, Recording, Segment, Trait

_CHANNELS = (
    Channel("ecg", "ecg", 128.0, 64.0, "mV"),
    Channel("ppg", "bvp", 64.0, 64.0, "a.u."),
    Channel("eda", "eda", 32.0, 4.0, "uS"),
    Channel("rsp", "resp", 32.0, 8.0, "a.u."),
)
_BIG_FIVE = ("extraversion", "agreeableness", "conscientiousness", "stability", "openness")
_RUNS = 6
_DEFAULTS = {"participants": 12, "minutes": 10.0, "strength": 1.0, "noise": 1.0, "seed": 0}


def _option_value(options: Options, name: str, low: float) -> float:
    """The value of an option.

    Raises:
        RecordingError: if it is below ``low``.
    """
    value = float(options.get(name, _DEFAULTS[name]))
    if not value >= low:
        raise RecordingError(f"option {name}={value:g} is below {low:g}", remedy=f"use --option {name}={_DEFAULTS[name]}")
    return value


def participants(root: Path, options: Options) -> list[str]:
    """``P01``, ...: as many as the option says; at least 3, because fewer leave no participants to train and to validate on."""
    return [f"P{number:02d}" for number in range(1, int(_option_value(options, "participants", 3)) + 1)]


def _draw_runs(minutes: float, rng: np.random.Generator) -> list[tuple[int, int]]:
    """(class, seconds) of the session's runs, calm first; whole seconds, each at least 20 s, varied by a fifth."""
    mean_s = minutes * 60 / _RUNS
    return [(run % 2, max(20, round(mean_s * rng.uniform(0.8, 1.2)))) for run in range(_RUNS)]


def _simulate_run(
    stressed: int, seconds: int, physiology: dict[str, float], noise: float, rng: np.random.Generator
) -> dict[str, npt.NDArray[np.float64]]:
    """The four signals of one run, each (n, 1). Stress raises heart rate, breathing rate and the rate of skin conductance responses.

    Args:
        stressed: 1 in a run of stress, else 0.
        physiology: see ``_draw_physiology``.
        noise: scales the noise of the signals, and how much the levels differ between runs.
    """
    import neurokit2 as nk

    seed = int(rng.integers(2**31))
    run_offsets = rng.normal(0, 1, 3) * noise
    heart = float(np.clip(physiology["heart"] + 4 * run_offsets[0] + stressed * physiology["heart_gain"], 45, 160))
    breath = float(np.clip(physiology["breath"] + 1.5 * run_offsets[1] + stressed * physiology["breath_gain"], 6, 35))
    responses = max(0, round((physiology["scr"] + run_offsets[2] + stressed * physiology["scr_gain"]) * seconds / 60))
    rates = {channel.name: int(channel.rate_hz) for channel in _CHANNELS}
    eda_noise, noise_part = 0.01 * noise, 0.05 * noise
    signals = {
        "ecg": nk.ecg_simulate(
            seconds, sampling_rate=rates["ecg"], heart_rate=heart, noise=noise_part, method="simple", random_state=seed
        ),
        "ppg": nk.ppg_simulate(seconds, sampling_rate=rates["ppg"], heart_rate=heart, random_state=seed),
        "eda": nk.eda_simulate(
            seconds, sampling_rate=rates["eda"], scr_number=responses, noise=eda_noise, drift=0.0, random_state=seed
        ),
        "rsp": nk.rsp_simulate(
            seconds, sampling_rate=rates["rsp"], respiratory_rate=breath, noise=noise_part, random_state=seed
        ),
    }
    return {name: np.asarray(signal[: seconds * rates[name]], dtype=np.float64)[:, None] for name, signal in signals.items()}


def _draw_physiology(strength: float, rng: np.random.Generator) -> dict[str, float]:
    """The resting levels of one participant, and how strongly each responds to stress.

    ``heart``: beats per minute, ``breath``: breaths per minute, ``scr``: skin conductance responses per minute; ``..._gain``: added in stress.
    """
    gains = strength * rng.gamma(2.0, 0.5, 3)
    return {
        "heart": rng.normal(70, 8), "heart_gain": 12 * gains[0],
        "breath": rng.normal(14, 2), "breath_gain": 4 * gains[1],
        "scr": rng.uniform(1, 4), "scr_gain": 4 * gains[2],
    }  # fmt: skip


def read(root: Path, participant: str, options: Options) -> Recording:
    """One simulated participant; the same options give the same recording to the bit, whichever other participants are read."""
    rng = np.random.default_rng([int(_option_value(options, "seed", 0)), int(participant[1:])])
    noise = _option_value(options, "noise", 0)
    physiology = _draw_physiology(_option_value(options, "strength", 0), rng)
    traits: dict[str, Trait] = {"age": float(rng.integers(18, 66)), "gender": str(rng.choice(["female", "male"]))}
    traits |= {name: float(np.round(np.clip(rng.normal(4, 1.2), 1, 7), 2)) for name in _BIG_FIVE}
    runs = _draw_runs(_option_value(options, "minutes", 2), rng)
    parts = [_simulate_run(stressed, seconds, physiology, noise, rng) for stressed, seconds in runs]
    signals = {channel.name: np.concatenate([part[channel.name] for part in parts]) for channel in _CHANNELS}
    values = np.concatenate([np.full(seconds, stressed, dtype=np.float64) for stressed, seconds in runs])
    track = LabelTrack(np.arange(len(values), dtype=np.float64), values)
    return Recording(participant, _CHANNELS, (Segment("session", 0.0, signals, {"task": track}),), traits)


SIMULATED = Dataset(
    name="simulated",
    signals="ECG, PPG, EDA, respiration (NeuroKit2)",
    traits=("age", "gender", *_BIG_FIVE),
    labels=(Label("stress", "task", "majority", ("calm", "stress"), {0: 0, 1: 1}),),
    default_labels=("stress",),
    licence="generated by raylab (Apache-2.0)",
    obtain="built in",
    citation="signals: Makowski et al., NeuroKit2, Behavior Research Methods 2021",
    participants=participants,
    read=read,
    options=_DEFAULTS,
    needs_root=False,
    caution="Simulated data: says nothing about people.",
)
