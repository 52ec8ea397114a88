"""Calibration by the wearer: marked windows train the technique's calibration stage in the background, then the model is swapped."""

import math
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from threading import Lock, Thread
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.torch import load, save

from raylab.errors import RaylabError
from raylab.folds.fold import NO_ROWS
from raylab.folds.seeding import FoldSeeds
from raylab.live.core.messages import LONGEST_LABEL, LabelMark, Note, Notify, Window, shortened
from raylab.live.core.model_card import CalibrationCard, ModelCard
from raylab.live.core.model_file import EXPORT_AGAIN, LiveModel, as_bytes, from_bytes
from raylab.models.build import Model, build_model
from raylab.techniques.stage import Asking
from raylab.training.augment import Augmentation
from raylab.training.batches import Signals
from raylab.training.label_budget import SPAN, Inquiry, fits
from raylab.training.loop import CPU, predict, train
from raylab.training.protocol import SETTINGS, Hyperparameters, StageProtocol
from raylab.training.regularize import Regularization
from raylab.training.stage_hash import PlannedStage
from raylab.trials.run_trial import one_thread

NICENESS = 10  # of the training: decisions go first

MOST_EPOCHS = 100_000  # of a calibration
MAX_MARKS = 1000  # the last ones are kept
MOST_BUDGET = 10_000  # windows of each class, which are kept in memory

_SPAWN = multiprocessing.get_context("spawn")  # a fork would copy the stream's threads' locks

Arrays = dict[str, npt.NDArray[np.float32]]
Lengths = dict[str, npt.NDArray[np.int64]]


def _check_hyperparameters(values: Mapping[str, Any]) -> None:
    """Refuse hyperparameters that no study may have.

    Raises:
        ValueError: saying which.
    """
    hyper = StageProtocol.model_validate(dict(values))
    for name, value in hyper.model_dump(exclude=set(SETTINGS)).items():
        if value is not None and not (math.isfinite(value) and value <= MOST_EPOCHS * 10):
            raise ValueError(f"{name} {value}")
    if (hyper.epochs or 0) > MOST_EPOCHS:
        raise ValueError(f"epochs {hyper.epochs}")


def hyperparameters_of(calibration: CalibrationCard) -> Hyperparameters:
    """The hyperparameters of a calibration stage, from the fields that ``Hyperparameters.as_dict`` wrote.

    Raises:
        RaylabError: if this raylab does not know one of them.
    """
    values = dict(calibration.hyper)
    try:
        _check_hyperparameters(values)
        augmentation, regularization = (values.pop(name, None) for name in SETTINGS)
        return Hyperparameters(
            **values,
            augmentation=Augmentation(**augmentation) if augmentation else None,
            regularization=Regularization(**regularization) if regularization else None,
        )
    except (TypeError, ValueError) as error:
        raise RaylabError(
            f"the model file's calibration holds what this raylab does not know; {EXPORT_AGAIN}. {error}"
        ) from error


def check_calibration(card: ModelCard) -> None:
    """Refuse a calibration that this raylab cannot carry out, before anything is captured; a card without one is left alone.

    Raises:
        RaylabError: naming the value.
    """
    if card.calibration is not None:
        hyperparameters_of(card.calibration)
        _fold_seeds(card)


def _fold_seeds(card: ModelCard) -> FoldSeeds:
    try:
        return FoldSeeds(**card.draws)
    except TypeError as error:
        raise RaylabError(f"the model file's draws are not what this raylab knows; {EXPORT_AGAIN}. {error}") from error


def calibrate_network(model: LiveModel, layers: str, values: Arrays, lengths: Lengths, y: Sequence[int]) -> Model:
    """The model after its technique's calibration stage on these windows, which are in the order of time.

    On the windows that the study gave that stage, with the study's weights before it, these are the study's weights after it, to the bit.

    Args:
        values: channel to (n, length, n_features).
        lengths: valid steps (n,) of each channel of variable length.
        y: class indices (n,) of the windows.
    """
    card = model.card
    assert card.calibration is not None
    seeds = _fold_seeds(card)
    untrained = build_model(card.spec, card.shapes, len(card.classes), card.adapter, seeds)
    network = model.network(calibrated=False, untrained=untrained)
    rows = np.arange(len(y))
    parts, hyper = card.calibration.trainable[layers], hyperparameters_of(card.calibration)
    stage = PlannedStage(card.calibration.stage, rows, NO_ROWS, NO_ROWS, parts, hyper, parent="", hash="")
    with one_thread():
        train(network, Signals(values, lengths), np.asarray(y, dtype=np.int8), stage, seeds, CPU)
    return network


def _train_in_process(answer: Connection, data: bytes, layers: str, values: Arrays, lengths: Lengths, y: list[int]) -> None:
    """Run a calibration in the training process, and send the weights of the trained parts, or the error as text."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the stream, which ends this process
    os.nice(NICENESS)
    try:
        model = from_bytes(data, "the model")
        network = calibrate_network(model, layers, values, lengths, y)
        assert model.card.calibration is not None
        answer.send_bytes(save(network.state_of(model.card.calibration.trainable[layers])))
    except Exception as error:  # the stream notes it
        answer.send_bytes(f"{type(error).__name__}: {error}".encode())
        raise


class Calibrator:
    """Collects marked windows, and trains once there are enough of each class.

    A window is marked if one mark held from its first sample to its last. Windows that lack a channel are not used. As in the study, the first
    windows of each class are taken.

    Args:
        layers: that are trained, a key of the card's ``trainable``; if empty, all, or what the model has instead.
        budget: windows of each class, at most if ``stop`` is given.
        on_done: called with the calibrated network.
        stop: the rule of the technique ``adaptive`` that ends the collection earlier (``raylab.training.label_budget``); empty: none.

    Raises:
        RaylabError: if the model has no such calibration.
    """

    def __init__(
        self,
        model: LiveModel,
        layers: str,
        budget: int,
        on_done: Callable[[Model], None],
        notify: Notify,
        stop: str = "",
    ) -> None:
        plan = model.card.calibration
        if plan is None:
            raise RaylabError(f"this model cannot be calibrated: {model.card.no_calibration}")
        layers = layers or ("all" if "all" in plan.trainable else next(iter(plan.trainable), ""))
        if layers not in plan.trainable:
            raise RaylabError(
                f"this model's calibration trains layers {' or '.join(plan.trainable)}, not {layers!r}; leave --layers out, or give "
                + " or ".join(f"--layers {name}" for name in plan.trainable)
            )
        if not 1 <= budget <= MOST_BUDGET:
            raise RaylabError(f"a calibration of {budget} windows of each class cannot be; give --calibrate 1 to {MOST_BUDGET}")
        self.model, self.layers, self.budget, self._on_done, self._notify = model, layers, budget, on_done, notify
        self.windows: list[tuple[Window, int]] = []  # with their class indices
        self._marks: deque[tuple[float, str]] = deque(maxlen=MAX_MARKS)  # since when, which class
        self._process: SpawnProcess | None = None
        self._trained = False
        self._inquiry = Inquiry(Asking("recorded", stop), len(model.card.classes)) if stop else None
        self._base = model.network(calibrated=False) if stop else None
        self._heard_from = 0  # windows before which the rule is not heard
        self._lock = Lock()

    @property
    def counts(self) -> dict[str, int]:
        """Class to windows so far."""
        indices = [index for _, index in self.windows]
        return {name: indices.count(i) for i, name in enumerate(self.model.card.classes)}

    @property
    def current_mark(self) -> str:
        """The class that is marked now; empty if there is none."""
        return self._marks[-1][1] if self._marks else ""

    def mark(self, mark: LabelMark, now_s: float) -> None:
        """Take the wearer's mark; the one before ends. If the clock was set back, earlier marks are forgotten.

        Args:
            now_s: time of a mark that has none, on the source's clock.
        """
        if mark.label and mark.label not in self.model.card.classes:
            self._notify(
                Note(
                    "calibration",
                    f"there is no class {shortened(mark.label, LONGEST_LABEL)!r} (there are {', '.join(self.model.card.classes)})",
                )
            )
            return
        time_s = now_s if mark.time_s is None else mark.time_s
        with self._lock:
            if self._marks and time_s < self._marks[-1][0]:
                self._marks.clear()
            if mark.label != self.current_mark:
                self._marks.append((time_s, mark.label))

    def _mark_throughout(self, start_s: float, end_s: float) -> str:
        """The class that was marked from start to end; empty if there is none."""
        with self._lock:
            before = [label for time_s, label in self._marks if time_s <= start_s + 1e-6]
            within = [time_s for time_s, _ in self._marks if start_s + 1e-6 < time_s < end_s - 1e-6]
        return before[-1] if before and not within else ""

    def offer(self, window: Window) -> None:
        """Keep a decided window for training if it is marked and its class needs one; start the training once no class needs more."""
        busy = self._process is not None or self._trained
        label = "" if window.missing or busy else self._mark_throughout(window.start_s, window.end_s)
        if label and self.counts[label] < self.budget:
            self.windows.append((window, self.model.card.classes.index(label)))
            if self._all_asked or self._is_enough():
                self._start_training()

    @property
    def _all_asked(self) -> bool:
        """Whether no class needs more windows."""
        return all(count >= self.budget for count in self.counts.values())

    def _is_enough(self) -> bool:
        """Give the newest window to the rule, if there is one, and hear whether there are enough."""
        if self._inquiry is None or self._base is None:
            return False
        self._inquiry.answer(self._probabilities(self._base, self.windows[-1:])[0], self.windows[-1][1])
        return len(self.windows) >= self._heard_from and self._inquiry.enough

    def _probabilities(self, network: Model, windows: Sequence[tuple[Window, int]]) -> npt.NDArray[np.float64]:
        """What a network says of windows, (n, n_classes)."""
        values, lengths, _ = training_arrays(self.model, windows)
        with one_thread():
            return predict(network, Signals(values, lengths), np.arange(len(windows)), CPU).astype(np.float64)

    def _fits(self, network: Model) -> bool:
        """Whether the calibrated network fits the marks, if a rule stopped the collection before all were there."""
        marks = np.array([index for _, index in self.windows])
        return self._inquiry is None or self._all_asked or fits(self._probabilities(network, self.windows), marks)

    @property
    def _rule(self) -> str:
        return self._inquiry.asking.stop if self._inquiry else ""

    def _start_training(self) -> None:
        counts = f"{self.budget} of each class" if self._all_asked else f"enough by the rule {self._rule}"
        self._notify(Note("calibration", f"starts on {len(self.windows)} windows, {counts}"))
        receiver, sender = _SPAWN.Pipe(duplex=False)
        arguments = (sender, as_bytes(self.model), self.layers, *training_arrays(self.model, self.windows))
        self._process = _SPAWN.Process(target=_train_in_process, args=arguments, name="calibration", daemon=True)
        Thread(target=self._await_training, args=(self._process, receiver, sender), name="calibration", daemon=True).start()

    def _await_training(self, process: SpawnProcess, receiver: Connection, sender: Connection) -> None:
        """Run the training process to its end. Whatever goes wrong in it, the stream goes on with the model it has."""
        try:
            process.start()
            sender.close()
            answer = receiver.recv_bytes()
            process.join()
            if process.exitcode:
                raise RuntimeError(answer.decode(errors="replace"))
            network = self.model.network(calibrated=False)
            network.load_parts(dict(load(answer)))
            if not self._fits(network):
                self._heard_from = len(self.windows) + SPAN
                self._notify(Note("calibration", f"does not fit its {len(self.windows)} marks yet: {SPAN} more are asked for"))
                return
        except Exception as error:
            self._notify(
                Note(
                    "calibration",
                    f"failed ({str(error) or type(error).__name__}): the model stays as it was; mark again to try again",
                )
            )
            self.windows.clear()
            self._inquiry = Inquiry(self._inquiry.asking, self._inquiry.n_classes) if self._inquiry else None
        else:
            self._trained = True
            self._on_done(network)
            self._notify(Note("calibration", f"done on {len(self.windows)} windows: the calibrated model decides from now on"))
        finally:
            receiver.close()
            self._process = None

    def wait(self) -> None:
        """Wait for the end of a running calibration."""
        while self._process is not None:
            time.sleep(0.05)

    def stop(self) -> None:
        """End a running calibration."""
        if (process := self._process) is not None and process.pid:
            process.terminate()


def training_arrays(model: LiveModel, windows: Sequence[tuple[Window, int]]) -> tuple[Arrays, Lengths, list[int]]:
    """Windows with their class indices as ``calibrate_network`` takes them: values, lengths, class indices."""
    values = {c.name: np.stack([window.values[c.name] for window, _ in windows]) for c in model.card.channels}
    variable = [channel for channel in model.card.channels if channel.variable]
    lengths = {
        c.name: np.array([window.lengths.get(c.name, c.length) for window, _ in windows], dtype=np.int64) for c in variable
    }
    return values, lengths, [index for _, index in windows]
