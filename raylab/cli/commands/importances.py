"""`raylab importances`."""

from pathlib import Path
from typing import Annotated

import typer

from raylab.cli.console import say, say_table
from raylab.errors import RaylabError
from raylab.files import Folder
from raylab.models.registry import CLASSICAL_MODELS
from raylab.validity.importances import CHANNEL, REPEATS
from raylab.validity.importances import importances as importances_of
from raylab.windows.dataset import read_windows

HEAD = ("kind", "input", "fall of AUROC", "SD of folds", "folds", "above 0")
SHOWN = 10  # statistics; channels are all shown


def importances(
    windows: Annotated[str, typer.Argument(help="prepared windows: a path or a URI")],
    label: Annotated[str, typer.Option(help="a label of the windows")],
    model: Annotated[str, typer.Option(help="a model on statistics of windows, as `raylab models` lists them")] = "lda",
    features: Annotated[bool, typer.Option("--features", help="of the channels of features, not of the signals")] = False,
    seed: Annotated[int, typer.Option(help="of folds and permutations")] = 0,
    out: Annotated[Path | None, typer.Option(help="csv file for all rows")] = None,
) -> None:
    """Show what a model without a network relies on: permutation importances on people it was not trained on.

    Example: raylab importances windows/wesad --label stress --model random_forest
    """
    prepared = read_windows(Folder(windows))
    offered = [declared.name for declared in prepared.index.card.labels]
    if label not in offered:
        raise RaylabError(f"{windows} has no label {label}; it has {', '.join(offered)}")
    if model not in CLASSICAL_MODELS:
        raise RaylabError(f"{model} is no model without a network; there are {', '.join(CLASSICAL_MODELS)}")
    table = importances_of(prepared, label, model, features, seed)
    rank = table.groupby("kind").cumcount()
    rows = [
        (str(row.kind), str(row.input), f"{row.importance:+.3f}", f"{row.sd:.3f}", str(row.folds), str(row.folds_above_zero))
        for row in table[(table["kind"] == CHANNEL) | (rank < SHOWN)].itertuples()
    ]
    say_table(f"{prepared.index.card.dataset} / {label} / {model}", HEAD, rows)
    say(
        f"Fall of the AUROC of validation people (mean {table['reached'].iloc[0]:.3f}) when an input is permuted within each of them, {REPEATS} "
        "times; the held-out participants are not looked at. Inputs that tell the same stand in for each other."
    )
    if out is not None:
        table.to_csv(out, index=False)
        say(f"written to {out}")
