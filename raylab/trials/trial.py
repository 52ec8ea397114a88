"""A trial as a record: dataset, label, model, technique, variant, target and seed, and the stages that it needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from raylab.hashing import hash_record
from raylab.models.network import ModelSpec
from raylab.techniques.registry import TECHNIQUES
from raylab.techniques.stage import Value
from raylab.training.protocol import Protocol
from raylab.trials.split_config import format_candidate


@dataclass(frozen=True)
class Trial:
    """One unit of work: everything that decides its result, and nothing about the machine that runs it.

    Attributes:
        dataset: the dataset's name in tables.
        windows: the path that its windows are read from, relative to the root of the run (two paths if it trains on another corpus).
        label: the label that is learned.
        channels: names of the channels that the model gets, in the order of the towers.
        model: encoder, fusion, width and modalities.
        technique: a name of ``TECHNIQUES``.
        variant: name of an axis to its value.
        target: the held-out participant, on whose windows the trial is tested.
        seed: one of the study's seeds.
        protocol: the study's hyperparameters, with those of a search in their place.
        people: number of participants to train on, drawn at random; all if None.
        held_out_with: participants who are held out together with the target, see ``Fold``.
        shares: shares of a random split of windows, see ``Fold``; empty if participants are held out.
        border_minutes: the dataset entry's ``restrict``: only windows within so many minutes of a change of the label; 0 for all.
        match: the dataset entry's ``match``, see ``Fold``; empty for none.
        model_name: the model's name in tables if its hyperparameters were searched and so differ between folds; else empty.
        best_params: the hyperparameters that a search selected for this fold (they are in ``model`` and ``protocol`` too); empty without one.
        purge: whether target windows that overlap calibration windows are left out of the scores.
        workers: number of workers that train each of its stages together.
        stages: hashes of its stages, in order; empty if the fold cannot be built.
        stacks: for each stage the composition that it is trained in, empty if alone; and the unit of trials that a worker runs at once
            (``raylab.trials.stacks``). Both are empty for a trial without stacks.
        problem: the reason why the fold cannot be built, as a sentence; else empty.
        key: the trial's identity, ``computed_key``; empty before it is planned.
    """

    dataset: str
    windows: str
    label: str
    channels: tuple[str, ...]
    model: ModelSpec
    technique: str
    variant: Mapping[str, Value]
    target: str
    seed: int
    protocol: Protocol
    people: int | None = None
    held_out_with: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    border_minutes: float = 0.0
    match: str = ""
    model_name: str = ""
    best_params: Mapping[str, Value] = field(default_factory=dict)
    purge: bool = True
    workers: int = 1
    stages: tuple[str, ...] = ()
    stacks: tuple[str, ...] = ()
    unit: str = ""
    problem: str = ""
    key: str = field(default="")

    @property
    def labels(self) -> dict[str, Any]:
        """The columns that name the trial in every table."""
        return {
            "dataset": self.dataset,
            "label": self.label,
            "model": self.model_name or self.model.name,
            "technique": TECHNIQUES[self.technique].table_name,
            "variant": TECHNIQUES[self.technique].variant_name(self.variant),
            "participant": self.target,
            "seed": self.seed,
        }

    @property
    def without_stacks(self) -> "Trial":
        """The trial as it would be planned alone."""
        return replace(self, stacks=(), unit="")

    @property
    def best_params_text(self) -> str:
        """The hyperparameters that a search selected for this fold, as in tables; empty without a search."""
        return format_candidate(self.best_params)

    @property
    def computed_key(self) -> str:
        """Hash of the trial's labels and of its stages' hashes. So a trial whose weights would differ is another trial, and runs again."""
        return self._key_of(self.stages, self.problem)

    def _key_of(self, stages: Sequence[str], problem: str) -> str:
        return hash_record({**self.labels, "stages": list(stages), "purge": self.purge, "problem": problem}, 16)

    def planned(self, stages: Sequence[str], problem: str = "") -> "Trial":
        """The trial with the hashes of its stages, or the reason why it has none, and with its key."""
        return replace(self, stages=tuple(stages), problem=problem, key=self._key_of(stages, problem))

    def as_config(self) -> dict[str, Any]:
        """Plain values, which Tune stores and from which a worker rebuilds the trial; the inverse of ``from_config``."""
        return {
            **{
                name: getattr(self, name)
                for name in (
                    "dataset",
                    "windows",
                    "label",
                    "technique",
                    "target",
                    "seed",
                    "people",
                    "border_minutes",
                    "match",
                    "model_name",
                    "purge",
                    "workers",
                    "key",
                )
            },
            **({"stacks": list(self.stacks), "unit": self.unit} if self.unit else {}),
            "problem": self.problem,
            "model": self.model.as_dict(),
            "variant": dict(self.variant),
            "best_params": dict(self.best_params),
            "held_out_with": list(self.held_out_with),
            "shares": list(self.shares),
            "channels": list(self.channels),
            "stages": list(self.stages),
            # without defaults, because Tune keeps every config in memory three times
            "protocol": self.protocol.as_config,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Trial":
        """The trial from the values that ``as_config`` gave."""
        return cls(
            **{
                **config,
                "model": ModelSpec.from_dict(config["model"]),
                **{name: tuple(config[name]) for name in ("channels", "held_out_with", "shares")},
                **{name: tuple(config.get(name, ())) for name in ("stages", "stacks")},
                "protocol": Protocol.model_validate(config["protocol"]),
            }
        )
