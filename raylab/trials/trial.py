"""A trial is one record: (dataset, label, model, technique and variant, target, seed) and the stages it needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raylab.hashing import hash_record
from raylab.models.network import ModelSpec
from raylab.techniques.registry import TECHNIQUES
from raylab.techniques.stage import Value
from raylab.training.protocol import Protocol
from raylab.trials.split_config import shown


@dataclass(frozen=True)
class Trial:
    """What to run, and nothing about where.

    Attributes:
        dataset: name in the study; ``windows``: the path its windows are read from.
        channels: the channels the model gets, in order.
        variant: axis to value.
        participant: the held-out target.
        people: how many people to train on; everyone where None.
        apart, shares: who is held out with the target, or how windows are split: see ``Fold``.
        model_name: what tables call the model where its hyperparameters were searched, and so differ between folds.
        searched: the hyperparameters that were chosen for this fold, among those of the model and the protocol; empty without a search.
        purge: whether target windows that overlap calibration windows are left out of the scores.
        workers: how many train each of its stages together.
        stages: hashes of its stages, in order; empty where the fold cannot be built.
        problem: why not, as a sentence.
    """

    dataset: str
    windows: str
    label: str
    channels: tuple[str, ...]
    model: ModelSpec
    technique: str
    variant: Mapping[str, Value]
    participant: str
    seed: int
    protocol: Protocol
    people: int | None = None
    apart: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    model_name: str = ""
    searched: Mapping[str, Value] = field(default_factory=dict)
    purge: bool = True
    workers: int = 1
    stages: tuple[str, ...] = ()
    problem: str = ""
    key: str = field(default="")

    @property
    def row(self) -> dict[str, Any]:
        """The columns by which tables name a trial."""
        return {
            "dataset": self.dataset,
            "label": self.label,
            "model": self.model_name or self.model.name,
            "technique": self.technique,
            "variant": TECHNIQUES[self.technique].variant_name(self.variant),
            "participant": self.participant,
            "seed": self.seed,
        }

    @property
    def found(self) -> str:
        """What a search chose for this fold, as tables say it; empty without a search."""
        return shown(self.searched)

    @property
    def identity(self) -> str:
        """Key of the trial: who it is in the tables, and the hashes of the stages that make its weights."""
        return hash_record({**self.row, "stages": list(self.stages), "purge": self.purge, "problem": self.problem}, 16)

    def as_config(self) -> dict[str, Any]:
        """Plain values only: what Tune stores and a worker rebuilds the trial from."""
        return {
            **{
                name: getattr(self, name)
                for name in (
                    "dataset",
                    "windows",
                    "label",
                    "technique",
                    "participant",
                    "seed",
                    "people",
                    "model_name",
                    "purge",
                    "workers",
                    "key",
                )
            },
            "problem": self.problem,
            "model": self.model.as_dict(),
            "variant": dict(self.variant),
            "searched": dict(self.searched),
            "apart": list(self.apart),
            "shares": list(self.shares),
            "channels": list(self.channels),
            "stages": list(self.stages),
            "protocol": self.protocol.model_dump(
                mode="json", exclude_defaults=True
            ),  # Tune keeps every config in memory, three times
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Trial":
        return cls(
            **{
                **config,
                "model": ModelSpec.from_dict(config["model"]),
                **{name: tuple(config[name]) for name in ("channels", "apart", "shares")},
                "stages": tuple(config["stages"]),
                "protocol": Protocol.model_validate(config["protocol"]),
            }
        )
