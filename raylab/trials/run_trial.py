"""The worker: a function from one trial to its record and predictions. It knows nothing of Ray.

Ray workers, the groups of several workers and runs in one process call the same function, with equal results to the bit (a test compares
them). Trials of a technique share stages: the worker trains a stage only if the store has no weights under its hash.
"""

import contextlib
import os
import time
import traceback
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from analysis.scores.metrics import auroc
from raylab.errors import memory_ran_out
from raylab.folds.fold import RowIds
from raylab.models.build import Model
from raylab.techniques.stage import Asking
from raylab.training.batches import Signals
from raylab.training.channel_choice import choose_channels
from raylab.training.label_budget import ask
from raylab.training.loop import Epoch, TrainingError, attention, predict, reader_of, train
from raylab.training.stage_hash import PlannedStage, TrainingContext
from raylab.training.stage_store import Saved, StageStore
from raylab.training.stage_tree import PredictedPart, Stages, own_stages, path_to, predicted_parts, trained_windows
from raylab.training.staged_model import ASKED, StagedModel
from raylab.training.worker_group import ALONE, WorkerGroup
from raylab.trials.keep_general import decide
from raylab.trials.plan import stages_of
from raylab.trials.trial import Trial
from raylab.windows.dataset import WindowIndex, Windows
from raylab.windows.streamed import stream_of

Report = Callable[[dict[str, Any]], None]
OnStageBatch = Callable[[PlannedStage, RowIds], None]
StagePlanner = Callable[[Trial, WindowIndex], tuple[TrainingContext, tuple[PlannedStage, ...]]]
REPORT_EVERY_S = 2.0  # at least
MORE_MEMORY = (
    "run fewer trials at once on a machine (a larger resources.cpu, or resources.gpu), take one with more memory, or smaller batches "
    "(protocol.batch_size) or stacks (resources.stack)"
)


@dataclass
class Outcome:
    """The result of a trial, also of one that failed.

    Attributes:
        status: ``ok``; ``failed`` (an error, which the record names); ``missing`` (the fold cannot be built, which is no error).
        record: the row of trials.parquet.
        predictions: columns trial, participant, window, y_true, p (list of probabilities) and purged; None unless the status is ok.
        attention: columns trial, window, channel and weight, one row for each channel of each predicted window; None unless the model's
            fusion weights channels window by window.
        trained: hashes of the stages that this worker trained, not those that it found in the store.
    """

    status: str
    record: dict[str, Any]
    predictions: pa.Table | None = None
    attention: pa.Table | None = None
    trained: list[str] = field(default_factory=list)

    def fail(self, error: Exception) -> None:
        """Turn the outcome into a failed one with this error; predictions of a failed trial must not be stored."""
        self.status, self.predictions, self.attention = "failed", None, None
        remedy = f" (memory ran out. What to do: {MORE_MEMORY})" if memory_ran_out(error) else ""
        self.record |= {"status": "failed", "error": f"{type(error).__name__}: {error}{remedy}"}


def without_result(trial: Trial, error: Exception, device: str) -> Outcome:
    """The failed outcome of a trial that this error, not its own code, ended."""
    record = {
        **trial.labels,
        "trial": trial.key,
        "device": device,
        "epochs": 0,
        "windows_trained": 0,
        "stages": list(trial.stages),
    }
    outcome = Outcome("failed", {**record, "stages_reused": 0, "seconds": 0.0, "ended": time.time()})
    outcome.fail(error)
    outcome.record["traceback"] = "".join(traceback.format_exception(error))
    return outcome


def participants_bitmap(positions: npt.NDArray[np.int32]) -> str:
    """Who a stage trains on, as a hexadecimal number: bit k is set if ``positions`` has the participant at position k of the index."""
    return f"{sum(1 << int(k) for k in np.unique(positions)):x}"


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Inside the block torch has one thread, oneDNN, and deterministic algorithms only; its settings are restored after.

    Several threads add up in an order that depends on the machine and its load, and sums in another order give other bits; so does a process
    that switched oneDNN off, as a live stream does. Equal stage hashes promise equal weights, so training and prediction run in this block.
    cuBLAS needs the variable before its first use.
    """
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.backends.mkldnn.enabled
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.backends.mkldnn.enabled = True  # type: ignore[assignment]  # a property of the module, which torch types as its descriptor
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        torch.backends.mkldnn.enabled = before[2]


def run_trial(
    trial: Trial,
    windows: Windows,
    store: StageStore,
    device: str = "cpu",
    report: Report = lambda event: None,
    on_batch: OnStageBatch = lambda stage, rows: None,
    planner: StagePlanner = stages_of,
    group: WorkerGroup = ALONE,
    report_every_s: float = REPORT_EVERY_S,
) -> Outcome:
    """Train the stages that the store lacks, then predict all windows of the target that were not trained on.

    Args:
        trial: the trial, with the hashes of its stages.
        windows: the windows that the trial names, with their index.
        store: weights of trained stages; new ones are added.
        device: torch's name of the device, such as ``cpu`` or ``cuda``.
        report: called with ``{"stage", "stage_done", "reused", "curve", "windows"}``: every few seconds of training with the epochs since the
            last call and the number of windows that went through them, and once when a stage is done (``stage_done`` is then its hash),
            trained here (with the fields of ``Saved``, by the leader) or found in the store (``reused``). All workers of a group make the same calls.
        on_batch: called with the stage and the rows of every batch that an optimizer receives; tests look for leaks with it.
        planner: gives the context and the stages. The label flip probe plans on true labels and gives the worker flipped ones.
        group: the workers that run this trial together; the leader stores and predicts, the others only train.
        report_every_s: seconds between two reports of a training.

    Returns:
        The outcome. An error never leaves this function: the trial is the unit of failure, and the status is then ``failed``.
    """
    began = time.perf_counter()
    outcome = Outcome("missing", {**trial.labels, "trial": trial.key, "error": trial.problem, "device": device})
    outcome.record |= {"epochs": 0, "windows_trained": 0, "stages": list(trial.stages), "stages_reused": 0}
    outcome.record |= {"searched": trial.best_params_text} if trial.best_params else {}
    if not trial.problem:
        try:
            with one_thread():
                _Worker(
                    trial, windows, store, torch.device(device), report, on_batch, planner, outcome, group, report_every_s
                ).run()
            outcome.status = "ok"
        except Exception as error:  # it is stored with this trial, and other trials go on
            outcome.fail(error)
            outcome.record["traceback"] = traceback.format_exc()
            if stream := stream_of(windows.signals):
                stream.close()  # or what was read ahead for this trial would be held until another asks for windows
    outcome.record |= {"status": outcome.status, "seconds": round(time.perf_counter() - began, 3), "ended": time.time()}
    return outcome


@dataclass(frozen=True)
class _Worker:
    """The state of one trial, and its steps."""

    trial: Trial
    windows: Windows
    store: StageStore
    device: torch.device
    report: Report
    on_batch: OnStageBatch
    planner: StagePlanner
    outcome: Outcome
    group: WorkerGroup
    report_every_s: float

    @cached_property
    def signals(self) -> Signals:
        """The signals of the trial's channels, in the order of the towers."""
        return Signals(self.windows.signals, self.windows.lengths).channels(self.trial.channels)

    def run(self) -> None:
        """Build the model, train or load its stages one after the other, and predict.

        Raises:
            TrainingError: if this machine plans other stages than the trial names, or if training fails.
        """
        context, stages = self.planner(self.trial, self.windows.index)
        # Weights stored under a hash of another plan would be taken for those of that plan by every later run.
        if tuple(stage.hash for stage in stages) != self.trial.stages:
            raise TrainingError(
                "this worker's plan differs from the driver's: raylab versions or windows differ between machines"
            )
        weights = StagedModel(context, self.store, self.device, self.group)
        for stage in stages:
            # The leader looks for all: a file that appears between two looks would make workers of one group do different things.
            stored = self.group.broadcast_from_leader(partial(self.store.load, stage.hash))
            if stored is None:
                self.train(context, stage, weights.before(stages, stage))
                weights.holds(stage)
                continue
            self.note_asked(stage, stored.get(ASKED))
            weights.take(stages, stage, stored)
            self.outcome.record["stages_reused"] += 1
            self.emit(stage, [], done=True, reused=True)
        if self.group.is_leader:
            self.predict(context, stages, replace(weights, group=ALONE))

    def train(self, context: TrainingContext, stage: PlannedStage, model: Model) -> None:
        """Train one stage, store its weights and record the training; epochs are reported every few seconds.

        The training is recorded before it starts and after the weights are stored: an interrupted one stays in the account as started.
        """
        unsent: list[Epoch] = []
        last_report = time.monotonic()

        def on_epoch(epoch: Epoch) -> None:
            nonlocal last_report
            unsent.append(epoch)
            # The leader's clock decides: reports of a group are collective calls in Ray Train.
            if self.group.broadcast_from_leader(lambda: time.monotonic() - last_report > self.report_every_s):
                self.emit(stage, unsent.copy(), done=False)
                unsent.clear()
                last_report = time.monotonic()

        fold, record, is_leader = stage.fold or context.fold, self.outcome.record, self.group.is_leader
        if context.model.chooses_channels and not stage.parent:  # later stages take over the choice with the weights
            # The leader alone chooses: another type of processor among the workers could choose otherwise.
            model.select_channels(self.group.broadcast_from_leader(lambda: choose_channels(self.signals, fold, stage)))
        asked, saved = None, None
        if stage.asks:  # and so does the choice of windows
            asked = self.group.broadcast_from_leader(partial(self.ask, context, stage, stage.asks, model))
            stage = replace(stage, train=np.sort(asked))
        columns = {"trial": self.trial.key, "name": stage.name, **self.trial.labels}
        attempt = self.store.begin(stage.hash, columns) if is_leader else ""
        on_batch = partial(self.on_batch, stage)
        people = fold.index.participant_index
        result = train(model, self.signals, fold.y, stage, fold.draws, self.device, on_batch, on_epoch, self.group, people)
        epochs, n_windows = len(result.curve), len(result.seen)
        if is_leader:
            order = {} if asked is None else {ASKED: torch.from_numpy(fold.index.window[asked])}
            saved = self.store.save(stage.hash, model.state_of(stage.trainable) | order)
            self.note_asked(stage, order.get(ASKED))
            counts = {"epochs": epochs, "best_epoch": result.best_epoch, "steps": result.steps, "windows": n_windows}
            self.store.complete(attempt, {**counts, "curve": result.curve, "cpu_s": round(result.cpu_s, 3)})
        self.outcome.trained.append(stage.hash)
        record["epochs"] += epochs
        record["windows_trained"] += epochs * n_windows
        self.emit(stage, unsent, done=True, saved=saved)

    def emit(
        self, stage: PlannedStage, curve: list[Epoch], done: bool, reused: bool = False, saved: Saved | None = None
    ) -> None:
        """Report these epochs of a stage, whether it is done, and what became of its weights."""
        event = {"stage": stage.name, "stage_done": stage.hash if done else "", "reused": reused}
        event |= saved.fields if saved else {}
        self.report({**event, "curve": curve, "windows": len(curve) * len(stage.received)})

    def attention_table(self, windows: npt.NDArray[np.int64], weights: npt.NDArray[np.float32] | None) -> pa.Table | None:
        """Weights of the channels (n_windows, n_channels) as a table with one row per window and channel; None if there are none.

        Args:
            windows: (n_windows,) window ids.
        """
        if weights is None:
            return None
        channels = self.trial.channels
        return pa.table(
            {
                "trial": pa.array([self.trial.key] * weights.size, pa.string()),
                "window": pa.array(np.repeat(windows, len(channels)), pa.int64()),
                "channel": pa.array(list(channels) * len(windows), pa.string()),
                "weight": pa.array(weights.ravel(), pa.float32()),
            }
        )

    def predict(self, context: TrainingContext, stages: Stages, weights: StagedModel) -> None:
        """Predict all windows of the target that no stage trained or validated on, and score them for the record.

        Windows that share samples with such a window, or with one whose signals were looked at before, are predicted and marked ``purged``:
        they are not tested on (docs/protocol.md, Techniques). They are stored all the same, so that their effect can be looked at.

        Raises:
            TrainingError: if a probability is not finite.
        """
        fold, record = context.fold, self.outcome.record
        parts = predicted_parts(stages, fold)
        if len(own_stages(stages)) < len(stages):
            decision = decide(context, stages, parts[0], partial(self.probabilities, weights, stages))
            parts, record["expected_gain"] = [decision.part], decision.expected_gain
            record["kept_general"] = decision.kept_general
        predicted = [self.probabilities(weights, stages, part.path[-1], part.rows) for part in parts]
        model, order = weights.model, np.argsort(np.concatenate([part.rows for part in parts]), kind="stable")
        rows, p = np.concatenate([part.rows for part in parts])[order], np.concatenate(predicted)[order]
        if not np.isfinite(p).all():
            raise TrainingError("the model predicts NaN: its weights or the windows are not finite")
        if model.channels_selected is not None:
            record["channels_selected"] = list(model.channels_selected)
        dropped = np.concatenate([fold.overlapping(part.rows, part.used) for part in parts])
        purged = np.isin(rows, dropped) if self.trial.purge else np.zeros(len(rows), dtype=bool)
        y = fold.y[rows]
        self.outcome.predictions = pa.table(
            {
                "trial": pa.array([self.trial.key] * len(rows), pa.string()),
                "participant": pa.array([self.trial.target] * len(rows), pa.string()),
                "window": pa.array(fold.index.window[rows], pa.int64()),
                "y_true": pa.array(y, pa.int8()),
                "p": pa.array(list(p), pa.list_(pa.float32())),
                "purged": pa.array(purged, pa.bool_()),
            }
        )
        self.outcome.attention = self.attention_table(fold.index.window[rows], self.attention(weights, stages, parts, order))
        # A first look at the trial, for progress and logs; tables are computed from the predictions (raylab stores what lets one recompute).
        test_auroc = auroc(y[~purged], p[~purged])
        position, own = fold.index.participant_index, own_stages(stages)
        record["trained_on"] = [participants_bitmap(position[stage.train]) for stage in own]
        record["people"] = len(np.unique(position[own[-1].learned_from]))
        record.setdefault("labels_used", len(np.intersect1d(trained_windows(own), fold.target_windows)))
        record |= {"n_test": int((~purged).sum()), "auroc": None if np.isnan(test_auroc) else float(test_auroc)}

    def probabilities(self, weights: StagedModel, stages: Stages, last: PlannedStage, rows: RowIds) -> npt.NDArray[np.float32]:
        """Probabilities (n, n_classes) of these rows after a stage."""
        reader = reader_of(path_to(stages, last), weights.context.fold.index.participant_index)
        return predict(weights.after(stages, last), self.signals, rows, self.device, reader)

    def attention(
        self, weights: StagedModel, stages: Stages, parts: list[PredictedPart], order: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32] | None:
        """Weight of each channel in each predicted window, in the order of the predictions; None if the model weights none."""
        found = [attention(weights.after(stages, part.path[-1]), self.signals, part.rows, self.device) for part in parts]
        return np.concatenate([part for part in found if part is not None])[order] if found[0] is not None else None

    def ask(self, context: TrainingContext, stage: PlannedStage, asking: Asking, model: Model) -> RowIds:
        """The windows of the stage's pool that are asked for, in the order of asking."""
        fold, pool = stage.fold or context.fold, stage.train
        people = fold.index.participant_index
        p = predict(model, self.signals, pool, self.device).astype(np.float64)

        def fitted(asked: list[int]) -> npt.NDArray[np.float64]:
            """What a copy of the model, tuned on these windows, says of them."""
            copy, rows = deepcopy(model), np.sort(pool[asked])
            train(copy, self.signals, fold.y, replace(stage, train=rows), fold.draws, self.device, people=people)
            return predict(copy, self.signals, pool[asked], self.device).astype(np.float64)

        return pool[ask(asking, p, fold.y[pool].astype(np.int64), context.n_classes, fitted)]

    def note_asked(self, stage: PlannedStage, windows: torch.Tensor | None) -> None:
        """Record the ids of the windows that were asked for, in their order; of the trial's own stages alone."""
        if windows is not None and stage.fold is None:
            self.outcome.record |= {"asked": windows.tolist(), "labels_used": len(windows)}
