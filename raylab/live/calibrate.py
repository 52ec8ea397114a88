"""Calibration by the wearer: marked windows train the technique's calibration stage in the background, and the model is swapped when it is done."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor

import numpy as np
import numpy.typing as npt
from safetensors.torch import load, save

from raylab.errors import RaylabError
from raylab.folds.draws import Draws
from raylab.folds.fold import NONE
from raylab.live.chunk import Mark, Note, Tell, Window
from raylab.live.model import LiveModel, as_bytes, from_bytes
from raylab.models.table import Model
from raylab.training.identity import PlannedStage
from raylab.training.loop import CPU, train
from raylab.training.signals import Signals
from raylab.trials.work import one_thread

POLITE = 10  # niceness of the training: decisions go first

Arrays = dict[str, npt.NDArray[np.float32]]


def calibrated(
    model: LiveModel, layers: str, values: Arrays, lengths: dict[str, npt.NDArray[np.int64]], y: Sequence[int]
) -> Model:
    """The model after its technique's calibration stage on these windows, which are in the order of time.

    On the windows that the study gave that stage, with the study's weights before it, these are the study's weights after it, to the bit.

    Args:
        values: channel to (n, length, n_features).
        y: class indices of the windows.
    """
    plan = model.card.calibration
    assert plan is not None
    network = model.network(calibrated=False)
    rows = np.arange(len(y))
    stage = PlannedStage(plan.stage, rows, NONE, NONE, plan.frees[layers], model.hyper, parent="", hash="")
    with one_thread():
        train(network, Signals(values, lengths), np.asarray(y, dtype=np.int8), stage, Draws(**model.card.draws), CPU)
    return network


def _in_background(data: bytes, layers: str, values: Arrays, lengths: dict[str, npt.NDArray[np.int64]], y: list[int]) -> bytes:
    """What the other process does: the freed parts' weights."""
    os.nice(POLITE)
    model = from_bytes(data, "the model")
    network = calibrated(model, layers, values, lengths, y)
    assert model.card.calibration is not None
    return bytes(save(network.state_of(model.card.calibration.frees[layers])))


class Calibrator:
    """Collects marked windows, and trains once there are enough of each class.

    A window carries the wearer's mark where the mark held from its first sample to its last. Windows that lack a channel are not used. As in the
    study, the first windows of each class are taken.

    Args:
        budget: windows of each class.
        done: called with the calibrated network.

    Raises:
        RaylabError: where the model has no such calibration.
    """

    def __init__(self, model: LiveModel, layers: str, budget: int, done: Callable[[Model], None], tell: Tell) -> None:
        plan = model.card.calibration
        if plan is None:
            raise RaylabError(f"this model cannot be calibrated: {model.card.no_calibration}")
        if layers not in plan.frees:
            raise RaylabError(f"this model's calibration trains layers {' or '.join(plan.frees)}, not {layers!r}")
        if budget < 1:
            raise RaylabError(f"a calibration of {budget} windows is none")
        self.model, self.layers, self.budget, self._done, self._tell = model, layers, budget, done, tell
        self.kept: list[tuple[Window, int]] = []
        self._mark: tuple[str, float] | None = None
        self._pool: ProcessPoolExecutor | None = None
        self._job: Future[bytes] | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Class to windows so far."""
        each = [number for _, number in self.kept]
        return {name: each.count(i) for i, name in enumerate(self.model.card.classes)}

    @property
    def mark_now(self) -> str:
        return self._mark[0] if self._mark else ""

    def mark(self, mark: Mark, now_s: float) -> None:
        """The wearer's mark; the one before ends."""
        if mark.label and mark.label not in self.model.card.classes:
            self._tell(
                Note("calibration", f"there is no class {mark.label!r} (there are {', '.join(self.model.card.classes)})")
            )
            return
        at = now_s if mark.time_s is None else mark.time_s
        self._mark = (mark.label, at) if mark.label else None

    def offer(self, window: Window) -> None:
        """A window that was decided; it is kept where it is marked and wanted."""
        if self._mark is None or self._job is not None or window.missing or self._mark[1] > window.start_s + 1e-6:
            return
        number = self.model.card.classes.index(self._mark[0])
        if self.counts[self._mark[0]] < self.budget:
            self.kept.append((window, number))
        if all(count >= self.budget for count in self.counts.values()):
            self._start()

    def _start(self) -> None:
        self._tell(Note("calibration", f"starts on {len(self.kept)} windows, {self.budget} of each class"))
        self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        self._job = self._pool.submit(_in_background, as_bytes(self.model), self.layers, *arrays(self.model, self.kept))
        self._job.add_done_callback(self._finished)

    def _finished(self, job: "Future[bytes]") -> None:
        try:
            network = self.model.network(calibrated=False)
            network.load_parts(dict(load(job.result())))
        except Exception as error:  # whatever went wrong, the stream goes on with the model it has
            self._tell(Note("calibration", f"failed: {error}; the model stays as it was"))
            return
        self._done(network)
        self._tell(Note("calibration", f"done on {len(self.kept)} windows: the calibrated model decides from now on"))

    def wait(self) -> None:
        """Until a running calibration has come to its end."""
        if self._pool:
            self._pool.shutdown(wait=True)


def arrays(model: LiveModel, kept: Sequence[tuple[Window, int]]) -> tuple[Arrays, dict[str, npt.NDArray[np.int64]], list[int]]:
    """Windows as training takes them."""
    values = {c.name: np.stack([window.values[c.name] for window, _ in kept]) for c in model.card.channels}
    variable = [channel for channel in model.card.channels if channel.variable]
    lengths = {c.name: np.array([window.lengths.get(c.name, c.length) for window, _ in kept], dtype=np.int64) for c in variable}
    return values, lengths, [number for _, number in kept]
