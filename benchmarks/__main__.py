"""``python -m benchmarks COMMAND``: what a machine can do."""

import typer

from benchmarks.stacked_step import step
from benchmarks.stacked_study import study

application = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
application.command()(step)
application.command()(study)

if __name__ == "__main__":
    application()
