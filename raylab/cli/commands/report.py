"""`raylab report`."""

from typing import Annotated

import typer

from analysis.report.answer import answer
from analysis.report.comparison_table import NAME_COLUMNS, caption, shown, title
from analysis.report.write import write_report
from analysis.scores.chance_levels import legend
from analysis.scores.metrics import METRIC_ALIASES, METRICS
from analysis.scores.scores import Scoring
from raylab.cli.console import is_wide, say, say_table
from raylab.cli.plugin_option import PluginFiles, one_of


def _metrics() -> tuple[str, ...]:
    return (*METRICS, *METRIC_ALIASES)


def report(
    run: Annotated[str, typer.Argument(help="a run folder")],
    scoring: Annotated[Scoring, typer.Option(help="both sides on the same windows, or as the study's code does")] = "paired",
    metric: Annotated[
        str | None,
        typer.Option(
            callback=one_of(_metrics),
            autocompletion=_metrics,
            metavar="NAME",
            help="what is compared; the study's primary metric unless given",
        ),
    ] = None,
    best: Annotated[
        bool,
        typer.Option("--best", help="one column per technique: its best variant on the test windows, optimistic, without p"),
    ] = False,
    against: Annotated[
        list[str] | None,
        typer.Option(help="a published table (han2024) or another run folder to compare with; repeat for several"),
    ] = None,
    plugin: PluginFiles = None,
) -> None:
    """Print scores and the tested comparison; write them with figures and report.html into the run's report folder.

    Example: raylab report runs/wesad --metric accuracy --against han2024
    """
    data = write_report(run, scoring, metric, best, tuple(against or ()))
    told = answer(data)
    say(f"{told.headline} {' '.join(told.sentences)}")
    for headline, text in told.cautions:
        say(f"{headline} {text}")
    for names, part in data.comparison.groupby(["dataset", "label", "model"], sort=True):
        head, rows = shown(part, narrow=not is_wide())
        say_table(title(names), head, rows, NAME_COLUMNS if is_wide() else 1)
        say(caption(part))
    for note in filter(None, (legend(data.comparison["technique"]), *data.table_notes)):
        say(f"- {note}")
    for other in data.against:
        say(f"beside {other.name}: {run}/report/against_{other.name}.md")
    say(f"written to {run}/report; open {run}/report/report.html in a browser")
