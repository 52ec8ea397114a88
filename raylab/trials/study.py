"""The study file: what to run, validated as a whole before anything starts."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from analysis.scores.metrics import METRIC_ALIASES, PRIMARY_METRICS
from raylab.errors import StudyError
from raylab.models.network import ModelSpec
from raylab.models.registry import CLASSICAL_MODELS, FUSIONS, MODEL_NAMES
from raylab.techniques.registry import REFERENCE_TECHNIQUE, TECHNIQUES
from raylab.techniques.stage import Value
from raylab.training.protocol import Protocol, StageProtocol
from raylab.trials.compatibility import model_problems, protocol_problem, technique_problem
from raylab.trials.split_config import Folds, Search, SplitConfig
from raylab.windows.cross_corpus import FROM, source


class _StudyPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatasetEntry(_StudyPart):
    """Prepared windows, which of their labels to learn, which channels to use (all unless named), whom to hold out (everyone unless
    named), on how many people drawn at random to train (everyone unless a number is given), and its kind of folds (the study's unless
    given)."""

    windows: str
    label: str
    name: str | None = None
    channels: list[str] | None = None
    participants: list[str] | None = None
    people: int | None = Field(None, ge=2)
    folds: Folds | None = None


class ModelEntry(_StudyPart):
    """A model, and which of a dataset's modalities it sees (all unless named)."""

    encoder: str
    fusion: str = "late"
    width: float = Field(1.0, gt=0, le=4)
    modalities: list[str] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _known(self) -> "ModelEntry":
        for kind, value, names in (("encoder", self.encoder, MODEL_NAMES), ("fusion", self.fusion, tuple(FUSIONS))):
            if value not in names:
                raise ValueError(f"unknown {kind} {value!r}; there are {', '.join(names)}")
        if twice := sorted({name for name in self.modalities or [] if (self.modalities or []).count(name) > 1}):
            raise ValueError(f"modalities names {', '.join(twice)} twice")
        if problems := model_problems(self.spec):
            raise ValueError("; ".join(problems))
        return self

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec(self.encoder, self.fusion, self.width, tuple(self.modalities or ()))


def _as_mapping(value: Any) -> Any:
    """``- fine_tuning`` is short for ``- {name: fine_tuning}``, and one value is short for a list of one."""
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict):
        axes = {key: item if isinstance(item, list) else [item] for key, item in value.items() if key not in ("name", "axes")}
        return {"name": value.get("name", ""), "axes": {**value.get("axes", {}), **axes}}
    return value


class TechniqueEntry(_StudyPart):
    """A technique and, of its axes, the values to run (its defaults where not named)."""

    name: str
    axes: dict[str, list[Value]] = {}

    @model_validator(mode="after")
    def _known(self) -> "TechniqueEntry":
        if self.name not in TECHNIQUES:
            raise ValueError(f"unknown technique {self.name!r}; there are {', '.join(TECHNIQUES)}")
        TECHNIQUES[self.name].variants(self.axes)
        return self

    @property
    def variants(self) -> list[dict[str, Value]]:
        return TECHNIQUES[self.name].variants(self.axes)


class Resources(_StudyPart):
    """What one trial gets. ``gpu: auto`` is a fraction where the cluster has GPUs, nothing where it has none.

    With several ``workers`` a trial's stages are trained by so many processes together, each of which gets ``cpu`` and ``gpu``.
    """

    workers: int = Field(1, ge=1)
    cpu: float = Field(1, gt=0)
    gpu: Literal["auto"] | Annotated[float, Field(ge=0)] = "auto"


class Study(_StudyPart):
    """A study as a user writes it. ``primary_metric`` is what its verdict is about; a table may show others beside it."""

    name: str
    datasets: list[DatasetEntry] = Field(min_length=1)
    models: list[ModelEntry] = Field(min_length=1)
    techniques: list[Annotated[TechniqueEntry, BeforeValidator(_as_mapping)]] = Field(min_length=1)
    folds: Folds = SplitConfig()
    search: Search | None = None
    seeds: list[int] = Field([0], min_length=1)
    protocol: Protocol = Protocol()
    purge: bool = True
    primary_metric: Annotated[str, AfterValidator(lambda name: METRIC_ALIASES.get(name, name))] = "auroc"
    resources: Resources = Resources()

    @model_validator(mode="after")
    def _metric_exists(self) -> "Study":
        if self.primary_metric not in PRIMARY_METRICS:
            raise ValueError(
                f"primary_metric {self.primary_metric!r} cannot be the verdict's; there are {', '.join(PRIMARY_METRICS)}"
            )
        return self

    @model_validator(mode="after")
    def _folds_fit(self) -> "Study":
        others = sorted({entry.name for entry in self.techniques} - {REFERENCE_TECHNIQUE})
        for entry in self.datasets:
            folds = self.division(entry)
            if FROM in self.source(entry).replace(FROM, "", bool(folds.train_on)):
                raise ValueError(f"a path of windows cannot hold {FROM!r}")
            if folds.split and others:
                raise ValueError(
                    f"in a random split of windows ({entry.windows}) the target is trained on already, so {', '.join(others)} would mean "
                    f"nothing; a study with a split has {REFERENCE_TECHNIQUE} alone"
                )
            if folds.split and (self.search or entry.people):
                raise ValueError(f"`search` and `people` are about people; a random split ({entry.windows}) is of windows")
            if self.search and entry.people:
                raise ValueError("`search` and `people` do not go together: inner folds have fewer people to draw from")
        return self

    @model_validator(mode="after")
    def _models_fit(self) -> "Study":
        problems = [protocol_problem(model.spec, self.protocol) for model in self.models]
        problems += [
            technique_problem(model.spec, technique.name, variant)
            for model in self.models
            for technique in self.techniques
            for variant in technique.variants
        ]
        if self.search:
            problems += [
                f"`search` tries widths and steps, and {m.encoder} has none"
                for m in self.models
                if m.encoder in CLASSICAL_MODELS
            ]
            base = TECHNIQUES[REFERENCE_TECHNIQUE].stages({})[0].name
            fixed = self.protocol.stages.get(base, StageProtocol()).model_dump(exclude_none=True)
            problems += [
                f"`search` would try {name} in vain: protocol.stages.{base} sets it; leave one of them out"
                for name in self.search.axes
                if name in fixed
            ]
        if found := list(dict.fromkeys(filter(None, problems))):
            raise ValueError("; ".join(found))
        return self

    @model_validator(mode="after")
    def _stages_exist(self) -> "Study":
        known = {s.name for t in TECHNIQUES.values() for v in t.variants({}) for s in t.stages(v)}
        unknown = sorted(set(self.protocol.stages) - known)
        if unknown:
            raise ValueError(f"protocol.stages names {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        return self

    def division(self, entry: DatasetEntry) -> SplitConfig:
        """How a dataset is divided: as its entry says, or as the study does."""
        return entry.folds or self.folds

    def source(self, entry: DatasetEntry) -> str:
        """What is read for a dataset: its windows, and those of another corpus to train on, if any."""
        return source(entry.windows, self.division(entry).train_on)

    def as_dict(self) -> dict[str, Any]:
        """As it is stored: every default filled in."""
        return self.model_dump(mode="json")


def read_study(path: Path) -> Study:
    """Read and check a study file.

    Raises:
        StudyError: with every problem found in it.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StudyError([f"{path}: {error.strerror or error}"]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StudyError([f"{path} is not YAML: {error}"]) from error
    return parse_study(content, str(path))


def parse_study(content: Any, source: str) -> Study:
    """A study from parsed YAML; ``source`` is named in messages."""
    if not isinstance(content, dict):
        raise StudyError([f"{source}: expected a mapping with name, datasets, models, techniques"])
    try:
        return Study.model_validate(content)
    except ValidationError as error:
        problems = []
        for item in error.errors():
            where = ".".join(str(part) for part in item["loc"])
            problems.append(f"{source}: {where + ': ' if where else ''}{item['msg'].removeprefix('Value error, ')}")
        raise StudyError(problems) from error
