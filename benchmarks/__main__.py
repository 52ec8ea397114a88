"""``python -m benchmarks COMMAND``: what a machine can do."""

import typer

from benchmarks.analysis import analysis
from benchmarks.gpu import gpu
from benchmarks.matrix_rate import rate
from benchmarks.order_of_sums import sums
from benchmarks.prepare import prepare
from benchmarks.stacked_step import step
from benchmarks.stacked_study import study
from benchmarks.sweep import sweep

application = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
for command in (step, study, sums, gpu, rate, prepare, sweep, analysis):
    application.command()(command)

if __name__ == "__main__":
    application()
