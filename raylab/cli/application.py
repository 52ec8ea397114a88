"""`raylab`: its own options, and a group that imports a command's module only when that command is called."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from raylab import __version__
from raylab.cli.console import say, say_aside
from raylab.cli.failures import USER_ERROR, describe, describe_stop
from raylab.cli.table import COMMANDS
from raylab.runs.stop import stoppable

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}


def load(name: str) -> Any:
    """A command with its options, from the function of this name in its module."""
    alone = typer.Typer(add_completion=False)
    alone.command(name)(getattr(import_module(COMMANDS[name].module), COMMANDS[name].function))
    return get_command(alone)


class CommandGroup(TyperGroup):
    """The commands of the table: names and help lines without their modules, which are heavy, until one is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for command in COMMANDS.values():
            self.add_command(TyperCommand(command.name, help=command.help, rich_help_panel=command.panel))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that was called, loaded."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, load(str(name)), rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was called. This is the one place that decides how an error is shown."""
        try:
            with stoppable():
                return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise typer.Exit(describe_stop(stop, ctx.invoked_subcommand)) from None
        except (typer.TyperException, typer.Exit, typer.Abort, BrokenPipeError):
            raise  # typer's own, and a reader of the output that went away
        except Exception as error:
            raise typer.Exit(describe(error, ctx.params["traceback"])) from None


app = typer.Typer(cls=CommandGroup, context_settings=HELP_OPTIONS, no_args_is_help=True, pretty_exceptions_enable=False)


def _print_version(asked: bool) -> None:
    if asked:
        say(f"raylab {__version__}")
        raise typer.Exit


@app.callback()
def raylab(
    traceback: Annotated[
        bool,
        typer.Option(
            "--traceback", envvar="RAYLAB_TRACEBACK", help="show the stack of every error, not of faults in raylab only"
        ),
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="print the version and stop")
    ] = False,
) -> None:
    """Which personalization of affect recognition works on new people.

    Exit codes: 0 done; 1 something that you gave cannot be used, or trials failed; 2 a wrong command line; 70 a fault in raylab; 130 interrupted
    by Ctrl-C; 143 by SIGTERM.
    """


def hidden_package() -> str:
    """A sentence if a file or folder of the user's stands in the way of raylab's own package ``analysis``; empty if none does."""
    own = Path(__file__).resolve().parents[2] / "analysis"
    spec = find_spec("analysis")
    origin = Path(spec.origin).resolve() if spec and spec.origin else None
    if origin is None or origin.parent == own:
        return ""
    return (
        f"{origin} hides raylab's own package analysis, because Python looks there first. What to do: rename it, or start raylab from another "
        "folder (and without it on PYTHONPATH)"
    )


def main() -> None:
    """Run the command line."""
    if problem := hidden_package():
        say_aside(f"raylab: {problem}")
        raise SystemExit(USER_ERROR)
    app(prog_name="raylab")
