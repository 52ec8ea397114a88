"""Settings of Ray Data that hold for raylab's datasets and for no others of the process: Ray keeps one set of them for all."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import ray

if TYPE_CHECKING:
    from ray.data import DataContext


@contextmanager
def quiet_ray_data() -> Iterator["DataContext"]:
    """A set of settings that datasets created within get: without progress bars, and with what the caller changes in it.

    A dataset keeps what it was created with, so it may be used up outside. Ray Data's log is silent from here on: it prints plans and the stacks
    of errors that raylab tells in a sentence.
    """
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    settings = ray.data.DataContext  # loaded here: a worker that prepares imports this module, and Ray Data brings pandas
    context = settings.get_current().copy()
    context.enable_progress_bars = False
    with settings.current(context):
        yield context
