"""A trial is one record: (dataset, label, model, technique and variant, target, seed) and the stages it needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raylab.hashing import hash_record
from raylab.models.network import ModelSpec
from raylab.techniques.registry import TECHNIQUES
from raylab.techniques.stage import Value
from raylab.training.protocol import Protocol
from raylab.trials.split_config import format_candidate


@dataclass(frozen=True)
class Trial:
    """What to run, and nothing about where.

    Attributes:
        dataset: name in the study; ``windows``: the path its windows are read from.
        channels: the channels the model gets, in order.
        variant: axis to value.
        target: the held-out participant.
        people: how many people to train on; everyone where None.
        held_out_with, shares: who is held out with the target, or how windows are split: see ``Fold``.
        model_name: what tables call the model where its hyperparameters were searched, and so differ between folds.
        best_params: the hyperparameters that were chosen for this fold, among those of the model and the protocol; empty without a search.
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
    target: str
    seed: int
    protocol: Protocol
    people: int | None = None
    held_out_with: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    model_name: str = ""
    best_params: Mapping[str, Value] = field(default_factory=dict)
    purge: bool = True
    workers: int = 1
    stages: tuple[str, ...] = ()
    problem: str = ""
    key: str = field(default="")

    @property
    def labels(self) -> dict[str, Any]:
        """The columns by which tables name a trial."""
        return {
            "dataset": self.dataset,
            "label": self.label,
            "model": self.model_name or self.model.name,
            "technique": self.technique,
            "variant": TECHNIQUES[self.technique].variant_name(self.variant),
            "participant": self.target,
            "seed": self.seed,
        }

    @property
    def best_params_text(self) -> str:
        """What a search chose for this fold, as tables say it; empty without a search."""
        return format_candidate(self.best_params)

    @property
    def computed_key(self) -> str:
        """Key of the trial: who it is in the tables, and the hashes of the stages that make its weights."""
        return hash_record({**self.labels, "stages": list(self.stages), "purge": self.purge, "problem": self.problem}, 16)

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
                    "target",
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
            "best_params": dict(self.best_params),
            "held_out_with": list(self.held_out_with),
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
                **{name: tuple(config[name]) for name in ("channels", "held_out_with", "shares")},
                "stages": tuple(config["stages"]),
                "protocol": Protocol.model_validate(config["protocol"]),
            }
        )
