"""What a study has to do, from raylab's own plan: units, stages and their steps. Windows are simulated indexes, or prepared ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from benchmarks.cluster_model.costs import Gpu
from benchmarks.cluster_model.gpu_steps import Channels, count_flops, count_launches
from benchmarks.cluster_model.simulation import Work
from benchmarks.scale.cohort import cohort_card, cohort_index
from raylab.runs.shard import Shard
from raylab.runs.stage_lifetime import bases
from raylab.runs.stage_timing import StageShape, survey
from raylab.trials.plan import plan
from raylab.trials.stacks import units_of
from raylab.trials.study import Study, parse_study
from raylab.trials.trial import Trial
from raylab.windows.dataset import WindowIndex

WRIST = {"acc x": 8.0, "acc y": 8.0, "acc z": 8.0, "bvp": 64.0, "eda": 4.0, "temp": 4.0}
CHEST = {
    **dict.fromkeys(("acc x c", "acc y c", "acc z c", "emg"), 10.0),
    "ecg": 70.0,
    **dict.fromkeys(("eda c", "temp c", "resp"), 7.0),
}


@dataclass(frozen=True)
class PaperDataset:
    """A dataset of the paper as its study sees it.

    Attributes:
        people: whom the paper's study holds out (shared/SCALE.md's 88,500 trials).
        windows: of each, 10 s every 5 s. WESAD's is counted; the others follow from the published lengths of clips, roughly.
        labels: number of targets.
        rates: of its channels in Hz (docs/protocol.md).
    """

    people: int
    windows: int
    labels: int
    rates: Mapping[str, float]


PAPER = {
    "amigos": PaperDataset(31, 344, 2, {f"channel {k}": 8.0 for k in range(20)}),
    "ascertain": PaperDataset(58, 504, 2, {"ecg r": 64.0, "ecg l": 64.0, **{f"channel {k}": 8.0 for k in range(4)}}),
    "wesad": PaperDataset(15, 207, 1, {**CHEST, **WRIST}),
    "case": PaperDataset(30, 224, 2, {f"channel {k}": 50.0 for k in range(8)}),
    "kemocon": PaperDataset(21, 118, 2, WRIST),
}


@dataclass(frozen=True)
class StageWork:
    """A distinct stage: steps of an epoch, epochs at most and at least, and the number of stages that it is trained beside, itself included."""

    shape: StageShape
    trial: Trial
    steps: int
    epochs: int
    earliest: int
    stack: int


@dataclass(frozen=True)
class Plan:
    """A study's trials and what their stages take; ``channels`` by the path of the windows."""

    trials: Sequence[Trial]
    stages: Mapping[str, StageWork]
    channels: Mapping[str, Channels]
    people: int

    def work(self, seconds: Callable[[StageWork], float], drivers: int = 1) -> Work:
        """Units for so many drivers, each with a shard; seconds of every stage."""
        kept = bases((trial.technique, trial.stages) for trial in self.trials)
        trials = list(self.trials)
        shards = [units_of(trials, Shard(k + 1, drivers).trials(trials)) for k in range(drivers)]
        leaves = frozenset(self.stages) - kept
        return Work(shards, {key: seconds(stage) for key, stage in self.stages.items()}, leaves, self.people)

    def on_gpu(self, gpu: Gpu, sharing: int, epochs: Callable[[StageWork], float]) -> Callable[[StageWork], float]:
        """Seconds of a stage on a GPU that so many processes share."""

        def seconds(stage: StageWork) -> float:
            channels, model = self.channels[stage.trial.windows], stage.trial.model
            frees = tuple(part for part in ("trunk", "head") if part in stage.shape.trainable) or (
                "head",
            )  # an adapter is small
            launches = count_launches(len(channels), model.encoder, model.fusion, frees, stage.stack)
            flops = count_flops(channels, model, frees) * stage.shape.batch
            return epochs(stage) * stage.steps * gpu.seconds(launches, flops, sharing)

        return seconds


def planned(study: Study, indexes: Mapping[str, WindowIndex]) -> Plan:
    """The plan of a study as a run makes it, and what each of its stages takes. Rows are not kept, so it fits the memory."""
    trials = [trial for trial in plan(study, indexes) if not trial.problem]
    together: dict[str, set[str]] = {}
    for trial in trials:
        for stage, composition in zip(trial.stages, trial.stacks, strict=False):
            together.setdefault(composition or stage, set()).add(stage)
    size = {stage: len(members) for members in together.values() for stage in members}
    stages: dict[str, StageWork] = {}
    for trial in sorted(trials, key=lambda trial: (trial.windows, trial.seed, trial.target)):  # folds are kept for a while
        if all(stage in stages for stage in trial.stages):
            continue
        for key, one in survey([trial], indexes)[0].items():
            stages.setdefault(key, StageWork(one.shape, one.trial, one.steps, one.epochs, one.earliest, size.get(key, 1)))
    channels = {
        path: tuple((channel.name, channel.length) for channel in index.card.channels) for path, index in indexes.items()
    }
    return Plan(trials, stages, channels, sum(len(index.participants) for index in indexes.values()))


def repeated(given: Plan, times: int, shared: frozenset[str] = frozenset()) -> Plan:
    """The plan with as many copies of its trials: further seeds and labels have the same shape.

    Args:
        shared: stages that all copies have in common; each copy has its own of the others.
    """
    copies = [[_copy(trial, number, shared) for trial in given.trials] for number in range(times)]
    stages = {f"{key}.{number}": stage for key, stage in given.stages.items() if key not in shared for number in range(times)}
    return Plan(
        list(chain.from_iterable(copies)), stages | {key: given.stages[key] for key in shared}, given.channels, given.people
    )


def _copy(trial: Trial, number: int, shared: frozenset[str]) -> Trial:
    stages = tuple(stage if stage in shared else f"{stage}.{number}" for stage in trial.stages)
    stacks = tuple(
        name if stage in shared or not name else f"{name}.{number}"
        for stage, name in zip(trial.stages, trial.stacks, strict=False)
    )
    unit = f"{trial.unit}.{number}" if trial.unit else ""
    return replace(trial, seed=number, key=f"{trial.key}.{number}", stages=stages, stacks=stacks, unit=unit)


def grown(given: Plan, times: int) -> Plan:
    """The plan of as many times more people in the same groups: bases have as many times more steps, and each person stands for several."""
    shared = frozenset(bases((trial.technique, trial.stages) for trial in given.trials))
    larger = {key: replace(stage, steps=stage.steps * times) if key in shared else stage for key, stage in given.stages.items()}
    more = repeated(replace(given, stages=larger), times, shared)
    return replace(more, people=given.people * times)


def joined(plans: Sequence[Plan]) -> Plan:
    """Several datasets as one study."""
    return Plan(
        list(chain.from_iterable(one.trials for one in plans)),
        {key: stage for one in plans for key, stage in one.stages.items()},
        {path: channels for one in plans for path, channels in one.channels.items()},
        sum(one.people for one in plans),
    )


def simulated_index(people: int, windows: int, rates: Mapping[str, float]) -> WindowIndex:
    """A cohort of ``benchmarks.scale.cohort`` with these channels."""
    index = cohort_index(people, windows)
    first = next(iter(index.statistics.values()))
    return replace(index, card=cohort_card(people, windows, rates), statistics=dict.fromkeys(rates, first))


def study_on(content: Mapping[str, Any], paths: Sequence[str], stacked: bool, changes: Mapping[str, Any]) -> Study:
    """A study on simulated windows: one label and one seed of it, with stacks or without."""
    protocol = {**content.get("protocol", {}), **changes, **({"numerics": "stacked"} if stacked else {})}
    datasets = [{"windows": path, "label": "stress"} for path in paths]
    return parse_study({**content, "datasets": datasets, "seeds": [0], "protocol": protocol}, str(content["name"]))


def paper_plan(content: Mapping[str, Any], stacked: bool, changes: Mapping[str, Any]) -> Plan:
    """The paper's study: each dataset is planned for one label and one seed, and repeated for the others."""
    plans, seeds = [], len(content.get("seeds", [0]))
    for name in dict.fromkeys(entry["windows"] for entry in content["datasets"]):
        known = PAPER[name]
        index = simulated_index(known.people, known.windows, known.rates)
        one = planned(study_on(content, [name], stacked, changes), {name: index})
        plans.append(repeated(one, known.labels * seeds))
    return joined(plans)


PLANNED_PEOPLE = 500
COHORT: Mapping[str, Any] = {
    "name": "cohort",
    "models": [{"encoder": "fcn"}],
    "techniques": [
        "non_personalized",
        {"name": "fine_tuning", "layers": ["all", "last"], "budget": [0.2, 0.3, 0.4, 0.5], "unit": "window"},
    ],
    "folds": {"group_k_fold": 10},
}


def cohort_plan(people: int, windows: int, stacked: bool, changes: Mapping[str, Any]) -> Plan:
    """One cohort in ten groups: a base for each group, eight calibrations of it for each participant.

    A large one is planned for few people, each of whom stands for several.
    """
    times = max(1, people // PLANNED_PEOPLE)
    index = simulated_index(people // times, windows, WRIST)
    return grown(planned(study_on(COHORT, ["cohort"], stacked, changes), {"cohort": index}), times)
