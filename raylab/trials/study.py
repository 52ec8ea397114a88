"""The study file: all models, techniques, datasets and settings of a run, validated as a whole before anything starts."""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from analysis.constants import SMALLEST_EFFECT
from analysis.scores.metrics import METRIC_ALIASES, PRIMARY_METRICS
from analysis.statistics.model_comparison import ALL_PAIRS, DATASETS, MODELS
from raylab.errors import StudyError, shown
from raylab.models.network import ModelSpec
from raylab.models.registry import CLASSICAL_MODELS, FUSIONS, model_names
from raylab.names import checked_name, nfc
from raylab.strict_part import MAX_COUNT, StrictPart, refuse_repeated
from raylab.techniques.registry import REFERENCE_TECHNIQUE, TECHNIQUES
from raylab.techniques.stage import Value
from raylab.training.protocol import REFERENCE, Protocol, StageProtocol
from raylab.trials.compatibility import (
    model_problems,
    order_problem,
    protocol_problem,
    streaming_problems,
    technique_problem,
    workers_problem,
)
from raylab.trials.resources import Resources
from raylab.trials.split_config import MAX_WIDTH, Folds, Search, SplitConfig, combinations
from raylab.trials.split_config import Path as WindowsPath
from raylab.trials.study_problems import sentences
from raylab.windows.cross_corpus import AND, FROM, source
from raylab.yaml_file import YamlFileError, read_yaml

Keep = Literal["bases", "all", "none"]
KEEP: tuple[Keep, ...] = get_args(Keep)
MAX_BORDER_MINUTES = 24 * 60
MAX_SEED = 2**63 - 1  # what a table holds
Distinct = BeforeValidator(refuse_repeated)
GivenName = Annotated[
    str, AfterValidator(lambda name: nfc(checked_name(name)))
]  # compared with windows' names, which are in NFC
Names = Annotated[list[GivenName], Distinct, Field(min_length=1)]


class Restrict(StrictPart):
    """The ``restrict:`` of a dataset: which of its windows are used.

    Attributes:
        border_minutes: those within so many minutes before and after a change of the label, where drift is small.
    """

    border_minutes: float = Field(gt=0, le=MAX_BORDER_MINUTES)


People = Annotated[int, Field(ge=2, le=MAX_COUNT)]


class DatasetEntry(StrictPart):
    """A dataset of the study.

    Attributes:
        windows: path of prepared windows, relative to the root of the run.
        label: the label to learn.
        name: name in tables; the windows' own if None.
        channels: channels to use; all if None.
        participants: participants to hold out in turn (the targets); all if None.
        people: number of participants to train on, drawn at random; all if None. Of several numbers (``all`` may be one of them) each is an
            entry of its own: does dataset scaling help?
        folds: its folds; the study's if None.
        restrict: which of its windows are used; all if None.
        match: ``clock`` to train on windows that are matched in time (``raylab.folds.fold.Fold.matched``); None for all windows.
    """

    windows: WindowsPath
    label: GivenName
    name: GivenName | None = None
    channels: Names | None = None
    participants: Names | None = None
    people: People | Annotated[list[People | Literal["all"]], Distinct, Field(min_length=1)] | None = None
    folds: Folds | None = None
    restrict: Restrict | None = None
    match: Literal["clock"] | None = None

    @property
    def border_minutes(self) -> float:
        """Of ``restrict``; 0 for all windows."""
        return self.restrict.border_minutes if self.restrict else 0.0

    @property
    def n_people(self) -> int | None:
        """The number of people to train on; None for all."""
        return self.people if isinstance(self.people, int) else None

    @property
    def each(self) -> list["DatasetEntry"]:
        """The entry once for each number of people; a name that the study gives gets the number behind it, since names tell entries apart."""
        if not isinstance(self.people, list):
            return [self]
        entries = []
        for people in self.people:
            count = None if people == "all" else people
            name = f"{self.name} ({count} people)" if self.name and count else self.name
            entries.append(self.model_copy(update={"people": count, "name": name}))
        return entries


class ModelEntry(StrictPart):
    """A model of the study.

    Attributes:
        encoder: a name of ``raylab.models.registry.model_names``.
        fusion: a name of ``FUSIONS``.
        width: factor on the units or maps of every layer.
        modalities: modalities of the dataset that the model gets; all if None.
        channels: ``auto`` to choose among them on the training people of each fold; all if None.
        techniques: names of the study's techniques that train it; all if None.
    """

    encoder: str
    fusion: str = "late"
    width: float = Field(1.0, gt=0, le=MAX_WIDTH)
    modalities: Names | None = None
    channels: Literal["auto"] | None = None
    techniques: Names | None = None

    @model_validator(mode="after")
    def _names_exist(self) -> "ModelEntry":
        for kind, value, names in (("encoder", self.encoder, model_names()), ("fusion", self.fusion, tuple(FUSIONS))):
            if value not in names:
                raise ValueError(f"unknown {kind} {value!r}; there are {', '.join(names)}")
        if problems := model_problems(self.spec):
            raise ValueError("; ".join(problems))
        return self

    @property
    def spec(self) -> ModelSpec:
        """The model for the rest of raylab."""
        return ModelSpec(self.encoder, self.fusion, self.width, tuple(self.modalities or ()), self.channels or "")


def _technique_as_mapping(value: Any) -> Any:
    """Expand the short forms: ``- fine_tuning`` means ``- {name: fine_tuning}``, and a single value means a list of one."""
    if isinstance(value, str):
        return {"name": value}
    if not isinstance(value, dict):
        return value
    axes = value.get("axes", {})
    if not isinstance(axes, dict):
        raise ValueError(f"axes has to be a mapping of axes to values, not {shown(axes)}; leave it out for the defaults")
    given = {**axes, **{key: item for key, item in value.items() if key not in ("name", "axes")}}
    if empty := [str(key) for key, item in given.items() if item is None]:
        raise ValueError(f"{', '.join(empty)} is empty; give values, or leave it out for the default")
    if both := [str(key) for key in axes if key in value]:
        raise ValueError(f"{', '.join(both)} stands under `axes` and beside it; keep one of them")
    name = {"name": value["name"]} if "name" in value else {}
    return {**name, "axes": {key: item if isinstance(item, list) else [item] for key, item in given.items()}}


class TechniqueEntry(StrictPart):
    """A technique of the study, and the values of its axes to run (by axis; the defaults of an axis that is not named)."""

    name: str
    axes: dict[str, list[Value]] = Field({})

    @model_validator(mode="after")
    def _names_exist(self) -> "TechniqueEntry":
        if self.name not in TECHNIQUES:
            raise ValueError(f"unknown technique {self.name!r}; there are {', '.join(TECHNIQUES)}")
        combinations(self.axes)
        TECHNIQUES[self.name].variants(self.axes)
        return self

    @property
    def variants(self) -> list[dict[str, Value]]:
        """All combinations of these values."""
        return TECHNIQUES[self.name].variants(self.axes)


class Primary(StrictPart):
    """The comparison that the study is about, declared before it is run.

    Attributes:
        technique: whose comparison with non_personalized is the primary one, tested alone; None: every technique, Holm over them.
        smallest_effect: mean difference in the primary metric that is of interest; a surely smaller one counts as equivalent.
        model, dataset: the name that the other models (the other entries on the same windows) are set against, or ``all pairs``; the first of
            the study if None.
    """

    technique: str | None = None
    smallest_effect: float = Field(SMALLEST_EFFECT, gt=0, le=1)
    model: str | None = None
    dataset: str | None = None

    @property
    def references(self) -> dict[str, str]:
        """Axis to the name that the others are set against, if one is declared."""
        return {axis: name for axis, name in ((MODELS, self.model), (DATASETS, self.dataset)) if name}


class Study(StrictPart):
    """A study file, checked. Every combination of dataset, model, technique and variant, target and seed is a trial.

    Attributes:
        name: name of the study.
        datasets: its datasets.
        models: its models.
        techniques: its techniques, with the values of their axes.
        folds: which participants or windows are held out.
        search: a grid of hyperparameters to select from in each outer fold; None for none.
        seeds: seeds of all random draws; scores are averaged over them.
        protocol: hyperparameters that depart from those of Han et al.
        purge: whether target windows that overlap calibration windows are left out of the scores.
        primary_metric: the metric of the verdict; tables can show others too.
        primary: its primary comparison and the smallest effect of interest.
        resources: resources of one trial, and the room for the weights of all.
        keep: whose weights stay in the run folder: ``bases`` (those that several trials need, and those of non_personalized), ``all``, or
            ``none``; the others go when their trials are predicted, and are trained again if an export asks for them.
    """

    name: GivenName
    datasets: list[DatasetEntry] = Field(min_length=1)
    models: list[ModelEntry] = Field(min_length=1)
    techniques: list[Annotated[TechniqueEntry, BeforeValidator(_technique_as_mapping)]] = Field(min_length=1)
    folds: Folds = SplitConfig()
    search: Search | None = None
    seeds: Annotated[list[Annotated[int, Field(ge=0, le=MAX_SEED)]], AfterValidator(refuse_repeated)] = Field([0], min_length=1)
    protocol: Protocol = Protocol()
    purge: bool = True
    primary_metric: Annotated[str, AfterValidator(lambda name: METRIC_ALIASES.get(name, name))] = "auroc"
    primary: Primary = Primary()
    resources: Resources = Resources()
    keep: Keep = "bases"

    @model_validator(mode="after")
    def _primary_exists(self) -> "Study":
        offered = [entry.name for entry in self.techniques if entry.name != REFERENCE_TECHNIQUE]
        if self.primary.technique not in (None, *offered):
            compared = ", ".join(offered) or "it has none"
            raise ValueError(
                f"primary.technique {self.primary.technique!r} is none of the techniques that the study compares ({compared})"
            )
        models = [entry.spec.name for entry in self.models]
        if self.primary.model not in (None, ALL_PAIRS, *models):
            raise ValueError(
                f"primary.model {self.primary.model!r} is none of the study's models ({', '.join(models)}), nor {ALL_PAIRS!r}"
            )
        return self

    @model_validator(mode="after")
    def _metric_exists(self) -> "Study":
        if self.primary_metric not in PRIMARY_METRICS:
            raise ValueError(
                f"primary_metric {self.primary_metric!r} cannot be the verdict's; there are {', '.join(PRIMARY_METRICS)}"
            )
        return self

    @model_validator(mode="after")
    def _folds_fit(self) -> "Study":
        personalized = sorted({entry.name for entry in self.techniques} - {REFERENCE_TECHNIQUE})
        for entry in self.datasets:
            folds = self.folds_of(entry)
            for path in (entry.windows, *folds.corpora):
                if held := [mark for mark in (FROM, AND) if mark in path]:
                    raise ValueError(f"a path of windows cannot hold {held[0]!r}")
            if folds.split and personalized:
                raise ValueError(
                    f"in a random split of windows ({entry.windows}) the target is trained on already, so {', '.join(personalized)} would mean "
                    f"nothing; a study with a split has {REFERENCE_TECHNIQUE} alone"
                )
            if folds.split and entry.match:
                raise ValueError(f"`match` is about people who are trained on; a random split ({entry.windows}) is of windows")
            if folds.split and (self.search or entry.people):
                raise ValueError(f"`search` and `people` are about people; a random split ({entry.windows}) is of windows")
            if self.search and entry.people:
                raise ValueError("`search` and `people` do not go together: inner folds have fewer people to draw from")
        return self

    @model_validator(mode="after")
    def _models_fit(self) -> "Study":
        offered = list(dict.fromkeys(technique.name for technique in self.techniques))
        problems = [
            f"{model.spec.name} names the technique {name}, and the study has {', '.join(offered)}"
            for model in self.models
            for name in model.techniques or []
            if name not in offered
        ]
        problems += [protocol_problem(model.spec, self.protocol) for model in self.models]
        problems += [
            technique_problem(model.spec, technique.name, variant)
            for model, technique in self.trained
            for variant in technique.variants
        ]
        if self.resources.workers > 1 and self.protocol.numerics != REFERENCE:
            problems.append(
                "protocol.numerics: stacked trains several folds in one worker, and resources.workers asks for several workers for one fold; "
                "leave one of them out"
            )
        if self.resources.workers > 1:
            problems += [workers_problem(entry.name, variant) for entry in self.techniques for variant in entry.variants]
        problems += [
            order_problem(entry.name, variant, self.protocol) for entry in self.techniques for variant in entry.variants
        ]
        if self.resources.windows == "streamed":
            problems += streaming_problems([model.spec for model in self.models], self.protocol)
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
        if distinct := list(dict.fromkeys(filter(None, problems))):
            raise ValueError("; ".join(distinct))
        return self

    @model_validator(mode="after")
    def _stages_exist(self) -> "Study":
        stages = {s.name for t in TECHNIQUES.values() for v in t.variants({}) for s in t.stages(v)}
        unknown = sorted(set(self.protocol.stages) - stages)
        if unknown:
            raise ValueError(f"protocol.stages names {', '.join(unknown)}; there are {', '.join(sorted(stages))}")
        return self

    @property
    def entries(self) -> list[DatasetEntry]:
        """The dataset entries, each with one number of people."""
        return [one for entry in self.datasets for one in entry.each]

    @property
    def trained(self) -> list[tuple[ModelEntry, TechniqueEntry]]:
        """Each model with each technique that trains it, in the study's order."""
        return [
            (model, technique)
            for model in self.models
            for technique in self.techniques
            if model.techniques is None or technique.name in model.techniques
        ]

    def folds_of(self, entry: DatasetEntry) -> SplitConfig:
        """The folds of a dataset: its own if it names any, else the study's."""
        return entry.folds or self.folds

    def source(self, entry: DatasetEntry) -> str:
        """Key of the windows to read for a dataset: their path, and that of another corpus if it is trained on."""
        return source(entry.windows, self.folds_of(entry).corpora, entry.label)

    def as_dict(self) -> dict[str, Any]:
        """Plain values with every default filled in, as the run folder stores the study."""
        return self.model_dump(mode="json")


def read_study(path: Path) -> Study:
    """Read and check a study file.

    Raises:
        StudyError: if it cannot be read, is not YAML or is not a study; with every problem that was found.
    """
    try:
        content = read_yaml(path)
    except YamlFileError as error:
        raise StudyError([str(error)]) from error
    return parse_study(content, str(path))


def parse_study(content: Any, source: str) -> Study:
    """A study from parsed YAML.

    Args:
        content: the parsed file.
        source: its name in messages.

    Raises:
        StudyError: with every problem that was found.
    """
    if not isinstance(content, dict):
        problem = "it is empty" if content is None else f"it holds {shown(content)}"
        raise StudyError([f"{source}: expected a mapping with name, datasets, models, techniques; {problem}"])
    try:
        return Study.model_validate(content)
    except ValidationError as error:
        raise StudyError([f"{source}: {problem}" for problem in sentences(error, Study)]) from error
