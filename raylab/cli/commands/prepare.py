"""`raylab prepare`."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from raylab.cli.console import say
from raylab.cli.plugin_option import PluginFiles, one_of
from raylab.errors import RaylabError
from raylab.plugins import entered
from raylab.recordings import DATASETS
from raylab.runs.cluster import Executor, connect
from raylab.runs.dataset_check import check_dataset
from raylab.runs.prepare import PrepareRequest
from raylab.runs.prepare import prepare as prepare_dataset
from raylab.windows.detrending import DETREND_S, Detrend
from raylab.windows.feature_table import FeatureTable
from raylab.windows.preprocess import FIRST_S, Preprocessing, Scale
from raylab.yaml_file import YamlFileError, parse_yaml

Normalization = Literal["recording", "past", "first_minutes", "baseline_condition", "none", "per_speaker"]
OF_SIGNALS = "recording, past, first_minutes, baseline_condition or none"
LONGEST_CONTEXT_S = 3600.0
CONTENT, EXECUTION = "What goes into the windows", "How it is done"

Features = Annotated[
    bool,
    typer.Option(
        "--features",
        help="signals: store features of them beside the windows (`raylab docs features`)",
        rich_help_panel=CONTENT,
    ),
]
NormalizationOption = Annotated[
    Normalization | None,
    typer.Option(
        help="which samples of a person decide the scale, the held-out person's too. Signals: recording (all: the paper, and the default), "
        "past (nothing after the window), first_minutes, baseline_condition (if the dataset has one) or none (units); utterances: none (the "
        "default) or per_speaker (all of a speaker's utterances)",
        rich_help_panel=CONTENT,
    ),
]
Stride = Annotated[
    float | None,
    typer.Option(help="signals: seconds from one window's start to the next (5 unless given)", rich_help_panel=CONTENT),
]
ScaleOption = Annotated[
    Scale | None,
    typer.Option(
        help="signals: by minimum and maximum (the default) or by mean and standard deviation", rich_help_panel=CONTENT
    ),
]
FirstSeconds = Annotated[
    float | None,
    typer.Option(help=f"first_minutes: their seconds ({FIRST_S:g} unless given)", rich_help_panel=CONTENT),
]
DetrendOption = Annotated[
    Detrend | None,
    typer.Option(
        help="signals: what is taken off each channel before it is scaled, looking at the past only: high_pass (a running mean), running_median "
        "or none (the default); its name stands in every table",
        rich_help_panel=CONTENT,
    ),
]
DetrendSeconds = Annotated[
    float | None,
    typer.Option(help=f"detrend: time constant, or length of the median ({DETREND_S:g} unless given)", rich_help_panel=CONTENT),
]
Contexts = Annotated[
    list[float] | None,
    typer.Option(
        help="features: seconds up to the window's end; repeat for several (a window unless given)", rich_help_panel=CONTENT
    ),
]
TableOption = Annotated[
    str | None,
    typer.Option(
        help="signals: your own features, a csv or Parquet file with the columns participant, start_s (as in prepared windows), perhaps session, "
        "and one a feature (`raylab docs features`)",
        rich_help_panel=CONTENT,
    ),
]
TableContext = Annotated[
    float | None,
    typer.Option(
        help="your own features: seconds of signal up to the window's end that they saw (a window unless given)",
        rich_help_panel=CONTENT,
    ),
]
LocalOption = Annotated[
    bool, typer.Option("--local", help="in this process, without Ray, one after another", rich_help_panel=EXECUTION)
]

DatasetName = Annotated[
    str,
    typer.Argument(
        callback=one_of(lambda: DATASETS), autocompletion=lambda: list(DATASETS), help="a name of `raylab datasets`"
    ),
]


def prepare(
    dataset: DatasetName,
    out: Annotated[str | None, typer.Option(help="folder for the windows: a path or a URI")] = None,
    root: Annotated[str, typer.Option(help="folder of the dataset in its published layout")] = ".",
    label: Annotated[
        list[str] | None, typer.Option(help="label to prepare; repeat for several", rich_help_panel=CONTENT)
    ] = None,
    normalization: NormalizationOption = None,
    scale: ScaleOption = None,
    first_seconds: FirstSeconds = None,
    detrend: DetrendOption = None,
    detrend_seconds: DetrendSeconds = None,
    stride: Stride = None,
    features: Features = False,
    context: Contexts = None,
    feature_table: TableOption = None,
    table_context: TableContext = None,
    option: Annotated[
        list[str] | None,
        typer.Option(help="name=value, as the dataset offers; repeat for several", rich_help_panel=CONTENT),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="participant to leave out; repeat for several", rich_help_panel=CONTENT)
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="read everything and report, write nothing", rich_help_panel=EXECUTION)
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="replace windows that are there", rich_help_panel=EXECUTION)
    ] = False,
    address: Annotated[str | None, typer.Option(help="a Ray cluster; a local one otherwise", rich_help_panel=EXECUTION)] = None,
    local: LocalOption = False,
    plugin: PluginFiles = None,
) -> None:
    """Turn a dataset's raw files into windows.

    Example: raylab prepare wesad --root ~/data/WESAD --out windows/wesad
    """
    _require_stride(stride)
    if out is None and not check:
        raise RaylabError("give a folder for the windows with --out (or --check, to read everything and write nothing)")
    if first_seconds is not None and (first_seconds <= 0 or normalization != "first_minutes"):
        raise RaylabError(f"--first-seconds {first_seconds:g}: expected seconds above 0, with --normalization first_minutes")
    given = {"step_s": stride, "scale": scale, "first_s": first_seconds, "detrend": detrend, "detrend_s": detrend_seconds}
    request = PrepareRequest(
        dataset,
        root,
        out or "",
        tuple(label or ()),
        *_settings(dataset, normalization, given),
        parse_options(option or []),
        tuple(exclude or ()),
        _contexts(features, context or []),
        feature_table=_table(feature_table, table_context),
        plugins=entered(),
    )
    if not local:
        connect(address)
    _execute(request, check, overwrite, "local" if local else "ray")


def _execute(request: PrepareRequest, check: bool, overwrite: bool, where: Executor) -> None:
    """Write the windows, or read everything and report.

    Raises:
        typer.Exit: if the report names a problem.
    """
    if not check:
        prepare_dataset(request, overwrite, say, where)
    elif check_dataset(request, say, where):
        raise typer.Exit(1)


def _contexts(features: bool, contexts: list[float]) -> tuple[float, ...] | None:
    """Contexts of the features; None if none are asked for.

    Raises:
        RaylabError: if there are contexts without features, or one that is none.
    """
    if not features:
        if contexts:
            raise RaylabError("--context is for features; add --features")
        return None
    if wrong := [f"{seconds:g}" for seconds in contexts if not 0 < seconds <= LONGEST_CONTEXT_S]:
        raise RaylabError(f"--context {', '.join(wrong)}: expected seconds above 0, at most {LONGEST_CONTEXT_S:g}")
    return tuple(dict.fromkeys(contexts))


def _table(path: str | None, context_s: float | None) -> FeatureTable | None:
    """The user's own table of features; None if there is none.

    Raises:
        RaylabError: if there is a context without a table, or one that is none.
    """
    if path is None and context_s is not None:
        raise RaylabError("--table-context is for features of your own; give them with --feature-table")
    if context_s is not None and not 0 < context_s <= LONGEST_CONTEXT_S:
        raise RaylabError(f"--table-context {context_s:g}: expected seconds above 0, at most {LONGEST_CONTEXT_S:g}")
    return None if path is None else FeatureTable(str(Path(path).resolve()), context_s)


def parse_options(pairs: list[str]) -> dict[str, Any]:
    """``name=value`` pairs; a value is read as YAML reads it.

    Raises:
        RaylabError: naming a pair that is none, a name that is given twice, or a value that is no YAML.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise RaylabError(f"--option {pair!r} is not name=value")
        if name in options:
            raise RaylabError(f"--option {name} is given twice")
        try:
            options[name] = parse_yaml(value, f"--option {pair!r}")
        except YamlFileError as error:
            raise RaylabError(f"--option {pair!r}: the value cannot be read ({error})") from error
    return options


def _settings(
    dataset: str, normalization: Normalization | None, others: dict[str, Any]
) -> tuple[Preprocessing | None, Literal["none", "per_speaker"] | None]:
    """The request's settings for signals, and those for utterances.

    Args:
        others: settings of running signals by their name in ``Preprocessing``; None stands for its default.

    Raises:
        RaylabError: if an option is for the other kind of dataset, or for a detrending that is not asked for.
    """
    given = {name: value for name, value in others.items() if value is not None}
    if (seconds := given.get("detrend_s")) is not None and (seconds <= 0 or given.get("detrend", "none") == "none"):
        raise RaylabError(
            f"--detrend-seconds {seconds:g}: expected seconds above 0, with --detrend high_pass or running_median"
        )
    if DATASETS[dataset].kind == "utterances":
        if not (normalization is None or normalization == "none" or normalization == "per_speaker"):  # noqa: PLR1714  mypy narrows by these
            raise RaylabError(f"--normalization {normalization} is for running signals; for {dataset} use none or per_speaker")
        if "step_s" in given:
            raise RaylabError(f"--stride is for running signals; a window of {dataset} is one utterance")
        if "detrend" in given:
            raise RaylabError(f"--detrend is for running signals; a window of {dataset} is one utterance")
        if "scale" in given:
            raise RaylabError(f"--scale is for running signals; for {dataset} use --normalization none or per_speaker")
        return None, normalization
    if normalization == "per_speaker":
        raise RaylabError(f"--normalization {normalization} is for utterances; for {dataset} use {OF_SIGNALS}")
    return Preprocessing(normalization=normalization or "recording", **given), None


def _require_stride(stride: float | None) -> None:
    """Refuse one that is not above 0."""
    if stride is not None and stride <= 0:
        raise RaylabError(f"--stride {stride:g} is not above 0")
