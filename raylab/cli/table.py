"""The commands: what the list of them says, and the module that holds each. It loads none of them, so that `raylab --help` is quick."""

from dataclasses import dataclass

BEGIN, LOOK, EVALUATE, CHECK, STREAM = "Begin", "What there is", "Evaluate", "Check the method", "Follow a stream"


@dataclass(frozen=True)
class Command:
    """A command of `raylab`.

    Attributes:
        module: holds the function of this name (``called``, if it is given), with its options.
        help: the line in the list of commands; the first line of the function's docstring (a test compares them).
        panel: the heading in the list.
    """

    name: str
    help: str
    panel: str
    called: str = ""

    @property
    def function(self) -> str:
        """The name of its function and module: its own, unless Python keeps that word for itself."""
        return self.called or self.name

    @property
    def module(self) -> str:
        return f"raylab.cli.commands.{self.function}"


COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        Command(
            "demo", "Run a small study on the built-in simulated cohort: windows, a run and its report, in one folder.", BEGIN
        ),
        Command(
            "init", "Write a folder to fill in for a study of your own data: study.yaml and dataset.yaml, with comments.", BEGIN
        ),
        Command("docs", "List the pages of the documentation, or print one.", BEGIN),
        Command("datasets", "List the datasets: what each needs, how to obtain it, and what of it is in a folder.", LOOK),
        Command(
            "techniques", "List the techniques: what each trains on, what it needs, and how many trainings it costs.", LOOK
        ),
        Command("models", "List the encoders and fusions that a study may name.", LOOK),
        Command(
            "doctor", "Check that this machine can run raylab: one line for each thing that is needed, with the remedy.", LOOK
        ),
        Command(
            "import",
            "Make a folder for `raylab prepare csv_folder` of what a device exports: one span for all sensors, labels by the clock.",
            EVALUATE,
            "import_recordings",
        ),
        Command("prepare", "Turn a dataset's raw files into windows.", EVALUATE),
        Command("run", "Run what is missing of a study; the same command resumes it.", EVALUATE),
        Command(
            "status",
            "Show what is done, running and failed, the rate, the time left and averages so far, also during a run.",
            EVALUATE,
        ),
        Command(
            "report",
            "Print scores and the tested comparison; write them with figures and report.html into the run's report folder.",
            EVALUATE,
        ),
        Command(
            "clean",
            "Remove from a run folder the weights that nobody needs any more, and the state of Tune. Tables and predictions stay.",
            EVALUATE,
        ),
        Command(
            "audit",
            "Ask what a dataset can show: whether the clock tells its labels, and what single channels tell without a network.",
            CHECK,
        ),
        Command(
            "importances",
            "Show what a model without a network relies on: permutation importances on people it was not trained on.",
            CHECK,
        ),
        Command(
            "probe",
            "Put a dataset through a leak probe: windows with a known right result, a study with its test labels flipped, or single channels alone.",
            CHECK,
        ),
        Command(
            "validate",
            "Count how often raylab finds a known truth in simulated cohorts. Takes hours; the same command resumes it.",
            CHECK,
        ),
        Command(
            "train",
            "Train a model for new people: on everyone of a study, with the study's own estimate of how it will do.",
            STREAM,
        ),
        Command(
            "export",
            "Write a trial's model as one file: weights, preprocessing, labels, and a card that says where it comes from.",
            STREAM,
        ),
        Command("live", "Follow a stream: decisions as lines of JSON on standard output, and on a page.", STREAM),
    )
}
