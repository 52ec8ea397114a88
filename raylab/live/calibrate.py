"""Calibration by the wearer: marked windows train the technique's calibration stage in the background, and the model is swapped when it is done."""

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from threading import Lock, Thread

import numpy as np
import numpy.typing as npt
from safetensors.torch import load, save

from raylab.errors import RaylabError
from raylab.folds.fold import NO_ROWS
from raylab.folds.seeding import FoldSeeds
from raylab.live.core.messages import LabelMark, Note, Notify, Window
from raylab.live.core.model_file import LiveModel, as_bytes, from_bytes
from raylab.models.build import Model
from raylab.training.batches import Signals
from raylab.training.loop import CPU, train
from raylab.training.stage_hash import PlannedStage
from raylab.trials.run_trial import one_thread

POLITE = 10  # niceness of the training: decisions go first

MARKS = 1000  # the last ones are known

_SPAWN = multiprocessing.get_context("spawn")  # a fork would copy the stream's threads' locks

Arrays = dict[str, npt.NDArray[np.float32]]
Lengths = dict[str, npt.NDArray[np.int64]]


def calibrated(model: LiveModel, layers: str, values: Arrays, lengths: Lengths, y: Sequence[int]) -> Model:
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
    stage = PlannedStage(plan.stage, rows, NO_ROWS, NO_ROWS, plan.trainable[layers], model.hyper, parent="", hash="")
    with one_thread():
        train(network, Signals(values, lengths), np.asarray(y, dtype=np.int8), stage, FoldSeeds(**model.card.draws), CPU)
    return network


def _in_background(answer: Connection, data: bytes, layers: str, values: Arrays, lengths: Lengths, y: list[int]) -> None:
    """What the other process does: it sends the freed parts' weights, or what went wrong."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the stream, which ends this process
    os.nice(POLITE)
    try:
        model = from_bytes(data, "the model")
        network = calibrated(model, layers, values, lengths, y)
        assert model.card.calibration is not None
        answer.send_bytes(save(network.state_of(model.card.calibration.trainable[layers])))
    except Exception as error:  # the stream says it
        answer.send_bytes(f"{type(error).__name__}: {error}".encode())
        raise


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

    def __init__(self, model: LiveModel, layers: str, budget: int, done: Callable[[Model], None], tell: Notify) -> None:
        plan = model.card.calibration
        if plan is None:
            raise RaylabError(f"this model cannot be calibrated: {model.card.no_calibration}")
        if layers not in plan.trainable:
            raise RaylabError(f"this model's calibration trains layers {' or '.join(plan.trainable)}, not {layers!r}")
        if budget < 1:
            raise RaylabError(f"a calibration of {budget} windows is none")
        self.model, self.layers, self.budget, self._done, self._tell = model, layers, budget, done, tell
        self.kept: list[tuple[Window, int]] = []
        self._marks: deque[tuple[float, str]] = deque(maxlen=MARKS)  # since when, which class
        self._process: SpawnProcess | None = None
        self._trained = False
        self._lock = Lock()

    @property
    def counts(self) -> dict[str, int]:
        """Class to windows so far."""
        each = [number for _, number in self.kept]
        return {name: each.count(i) for i, name in enumerate(self.model.card.classes)}

    @property
    def mark_now(self) -> str:
        return self._marks[-1][1] if self._marks else ""

    def mark(self, mark: LabelMark, now_s: float) -> None:
        """The wearer's mark; the one before ends. Where the clock was set back, earlier marks mean nothing any more."""
        if mark.label and mark.label not in self.model.card.classes:
            self._tell(
                Note("calibration", f"there is no class {mark.label!r} (there are {', '.join(self.model.card.classes)})")
            )
            return
        at = now_s if mark.time_s is None else mark.time_s
        with self._lock:
            if self._marks and at < self._marks[-1][0]:
                self._marks.clear()
            if mark.label != self.mark_now:
                self._marks.append((at, mark.label))

    def _held(self, start_s: float, end_s: float) -> str:
        """The class that was marked all through, or none."""
        with self._lock:
            before = [label for at, label in self._marks if at <= start_s + 1e-6]
            within = [at for at, _ in self._marks if start_s + 1e-6 < at < end_s - 1e-6]
        return before[-1] if before and not within else ""

    def offer(self, window: Window) -> None:
        """A window that was decided; it is kept where it is marked and wanted."""
        label = "" if window.missing or self._process is not None or self._trained else self._held(window.start_s, window.end_s)
        if label and self.counts[label] < self.budget:
            self.kept.append((window, self.model.card.classes.index(label)))
            if all(count >= self.budget for count in self.counts.values()):
                self._start()

    def _start(self) -> None:
        self._tell(Note("calibration", f"starts on {len(self.kept)} windows, {self.budget} of each class"))
        mine, theirs = _SPAWN.Pipe(duplex=False)
        given = (theirs, as_bytes(self.model), self.layers, *arrays(self.model, self.kept))
        self._process = _SPAWN.Process(target=_in_background, args=given, name="calibration", daemon=True)
        Thread(target=self._train, args=(self._process, mine, theirs), name="calibration", daemon=True).start()

    def _train(self, process: SpawnProcess, mine: Connection, theirs: Connection) -> None:
        """Wait for the other process. Whatever goes wrong there, the stream goes on with the model it has."""
        try:
            process.start()
            theirs.close()
            answer = mine.recv_bytes()
            process.join()
            if process.exitcode:
                raise RuntimeError(answer.decode(errors="replace"))
            network = self.model.network(calibrated=False)
            network.load_parts(dict(load(answer)))
        except Exception as error:
            self._tell(
                Note(
                    "calibration",
                    f"failed ({str(error) or type(error).__name__}): the model stays as it was; mark again to try again",
                )
            )
            self.kept.clear()
        else:
            self._trained = True
            self._done(network)
            self._tell(Note("calibration", f"done on {len(self.kept)} windows: the calibrated model decides from now on"))
        finally:
            mine.close()
            self._process = None

    def wait(self) -> None:
        """Until a running calibration has come to its end."""
        while self._process is not None:
            time.sleep(0.05)

    def stop(self) -> None:
        """End a running calibration."""
        if (process := self._process) is not None and process.pid:
            process.terminate()


def arrays(model: LiveModel, kept: Sequence[tuple[Window, int]]) -> tuple[Arrays, Lengths, list[int]]:
    """Windows as training takes them."""
    values = {c.name: np.stack([window.values[c.name] for window, _ in kept]) for c in model.card.channels}
    variable = [channel for channel in model.card.channels if channel.variable]
    lengths = {c.name: np.array([window.lengths.get(c.name, c.length) for window, _ in kept], dtype=np.int64) for c in variable}
    return values, lengths, [number for _, number in kept]
